"""The measurement behind `precision: auto`: what it rejects, chooses and remembers."""

import copy
import json

import pytest
import torch
from torch import nn

from convsmith.errors import DeviceError
from convsmith.training import precision_auto
from convsmith.training.precision_auto import measure

CPU = torch.device("cpu")
BATCH = (torch.randn(8, 3, 16, 16), torch.arange(8) % 4)


class Large(nn.Module):
    """Overflows in fp16, whose largest number is 65,504."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Conv2d(3, 4, 3)
        nn.init.constant_(self.inner.weight, 3e4)

    def forward(self, images):
        out = self.inner(images.abs() + 1)
        return out.mean((2, 3)) / 1e6


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 14 * 14, 4))


def test_it_times_every_candidate_and_chooses_the_fastest(tmp_path):
    choice = measure(net, BATCH, CPU, key="net", cache=tmp_path / "cache.json")
    assert f"{choice.precision} {choice.memory_format}" == min(
        choice.seconds, key=choice.seconds.get
    )
    assert not choice.cached
    assert len(choice.seconds) >= 2
    assert "fp16" in choice.rejected


def test_it_is_remembered_for_this_network_batch_and_machine_only(tmp_path):
    cache, calls = tmp_path / "cache.json", []

    def counted():
        calls.append(1)
        return net()

    first = measure(counted, BATCH, CPU, key="net", cache=cache)
    made = len(calls)
    again = measure(counted, BATCH, CPU, key="net", cache=cache)
    assert (again.precision, again.memory_format) == (first.precision, first.memory_format)
    assert again.cached
    assert len(calls) == made
    assert not measure(net, BATCH, CPU, key="other", cache=cache).cached
    half = (BATCH[0][:4], BATCH[1][:4])
    assert not measure(net, half, CPU, key="net", cache=cache).cached


@pytest.mark.parametrize("text", ["", "{", "[]", '{"x": 1}'])
def test_a_broken_cache_only_costs_a_measurement(tmp_path, text):
    cache = tmp_path / "cache.json"
    cache.write_text(text)
    assert not measure(net, BATCH, CPU, key="net", cache=cache).cached
    assert json.loads(cache.read_text())


def test_what_overflows_is_rejected(tmp_path):
    with pytest.raises(DeviceError, match="fp16"):
        measure(Large, BATCH, CPU, precision="fp16", key="large", cache=tmp_path / "cache.json")


def test_nothing_is_measured_where_nothing_is_to_be_chosen(tmp_path):
    cache = tmp_path / "cache.json"
    choice = measure(
        net, BATCH, CPU, precision="fp32", memory_format="contiguous", key="net", cache=cache
    )
    assert (choice.precision, choice.memory_format, choice.seconds) == ("fp32", "contiguous", {})
    assert not cache.exists()


def test_it_leaves_the_random_numbers_and_the_batch_alone(tmp_path):
    model, images = net().append(nn.Dropout()), BATCH[0].clone()
    state = torch.get_rng_state()
    measure(lambda: copy.deepcopy(model), BATCH, CPU, key="x", cache=tmp_path / "cache.json")
    assert torch.equal(state, torch.get_rng_state())
    assert torch.equal(images, BATCH[0])


def test_a_network_that_fp16_ruins_keeps_to_what_is_sound(tmp_path, monkeypatch):
    monkeypatch.setattr(precision_auto, "fp16_unsafe", lambda device: "")
    choice = measure(Large, BATCH, CPU, key="large", cache=tmp_path / "cache.json")
    assert choice.precision != "fp16"
    assert any(name.startswith("fp16") for name in choice.rejected)
