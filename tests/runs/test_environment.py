"""What a run's bits depend on."""

import json

import torch

from convsmith.runs.environment import describe, differences

CPU = torch.device("cpu")


def test_nothing_differs_from_itself_after_json():
    now = describe(CPU, "abc", "seed: 0")
    assert differences(json.loads(json.dumps(now)), now) == []


def test_each_thing_that_changed_is_named():
    now = describe(CPU, "abc", "seed: 0")
    for key in now["exact"]:
        stored = json.loads(json.dumps(now))
        stored["exact"][key] = "other"
        assert len(differences(stored, now)) == 1
        del stored["exact"][key]
        assert len(differences(stored, now)) == 1


def test_what_only_informs_may_change():
    now = describe(CPU, "abc", "seed: 0")
    assert differences(now | {"started": "", "cores": 64, "command": "x"}, now) == []
