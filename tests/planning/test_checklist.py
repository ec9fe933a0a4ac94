"""The check-list: each line turns when what it is about is made worse."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from convsmith.planning.checklist import Design, check
from convsmith.planning.synthetic import NETWORKS, headed, normed
from convsmith.planning.trace import trace

SOUND = Design(
    image=(3, 32, 32),
    classes=10,
    images=50_000,
    epochs=30,
    batch=128,
    micro_batch=128,
    learning_rate=0.1,
    schedule="cosine",
    warmup=0.0,
    weight_decay=5e-4,
    dropout=0.0,
    smoothing=0.0,
    augmented=True,
    pretrained=False,
    batch_norm=True,
    precision="bf16",
    fastest="bf16",
    memory=2**30,
    room=2**32,
    seconds=3600.0,
)
BARE = {"augmented": False, "weight_decay": 0.0}


def traced(net, side=32):
    return trace(net, lambda m: torch.optim.SGD(m.parameters(), lr=0.1), (3, side, side), 4)


@pytest.fixture(scope="module")
def plain():
    return traced(NETWORKS["residual"]())


def verdicts(design, made):
    return {each.topic: each.verdict for each in check(design, made)}


def test_a_sound_design_is_good_throughout(plain):
    assert set(verdicts(SOUND, plain).values()) == {"good"}


@pytest.mark.parametrize(
    ("changes", "topic", "verdict"),
    [
        ({"image": (3, 500, 500)}, "receptive field", "bad"),
        ({"images": 100, "classes": 10}, "task", "bad"),
        (BARE, "regularisation", "bad"),
        ({**BARE, "images": 10**7}, "regularisation", "warn"),
        ({"schedule": "constant"}, "schedule", "warn"),
        ({"batch": 4096}, "schedule", "warn"),
        ({"seconds": 1e6}, "compute", "warn"),
        ({"memory": 2**33}, "memory", "bad"),
        ({"memory": 2**32 - 1}, "memory", "warn"),
        ({"micro_batch": 4}, "parallelism", "warn"),
        ({"precision": "fp32"}, "precision", "warn"),
    ],
)
def test_a_line_turns_when_its_matter_is_made_worse(plain, changes, topic, verdict):
    assert verdicts(replace(SOUND, **changes), plain)[topic] == verdict


@pytest.mark.parametrize(
    ("layers", "topic"),
    [
        ([*normed(3, 64, stride=2), *normed(64, 32, stride=2)], "width schedule"),
        ([*normed(3, 30)], "filters"),
        ([*normed(3, 32)], "stride plan"),
    ],
)
def test_the_network_itself_is_looked_at(layers, topic):
    made = traced(headed(layers, layers[-2].num_features))
    assert verdicts(SOUND, made)[topic] == "warn"


def test_depth_without_normalisation_or_shortcuts_is_told():
    layers: list[nn.Module] = [nn.Conv2d(3, 8, 3, padding=1)]
    for _ in range(17):
        layers += [nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1)]
    found = verdicts(SOUND, traced(headed(layers, 8)))
    assert found["initialisation"] == "warn"
    assert found["shortcuts"] == "bad"
