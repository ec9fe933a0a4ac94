"""Which layers suffer, and how many are left real for a bound."""

import numpy
import pytest
import torch
from tests.compression.networks import exported, images, run
from torch import nn

from convsmith.compression.calibrate import calibrated
from convsmith.compression.quantize import static
from convsmith.compression.runtime import executed, integer_layers
from convsmith.compression.sensitivity import keep_worst, noise_by_layer


class Spiky(nn.Module):
    """The second convolution takes one channel that is a thousand times the others."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3)
        self.third, self.head = nn.Conv2d(8, 8, 3), nn.Linear(8, 10)
        with torch.no_grad():
            self.first.weight[0] *= 1000
            self.second.weight[:, 0] /= 1000

    def forward(self, x):
        x = self.first(x).relu()
        x = self.third(self.second(x).relu()).relu()
        return self.head(x.mean((2, 3)))


@pytest.fixture(scope="module")
def spiky(tmp_path_factory):
    torch.manual_seed(0)
    proto = exported(Spiky().eval(), 3, 12, tmp_path_factory.mktemp("spiky"))
    pixels = images(64, 3, 12)
    return calibrated(proto, [pixels], 2), pixels


def test_the_layer_that_suffers_is_found(spiky):
    integers, pixels = spiky

    def logits(kept):
        if kept is None:
            return run(integers.proto, pixels)
        return run(static(integers.proto, integers.ranges, keep_float=kept, between=False), pixels)

    found = noise_by_layer(["first", "second", "third", "head"], logits)
    assert {each.name for each in found[:2]} == {"first", "second"}  # what lies between them
    assert {each.name for each in found[2:]} == {"third", "head"}
    assert found[1].noise > 20 * found[2].noise
    assert found[0].agreement <= found[3].agreement == 1


def test_the_worst_are_left_until_it_is_enough(spiky):
    integers, pixels = spiky
    expected = run(integers.proto, pixels)

    def drop(kept):
        made = static(integers.proto, integers.ranges, keep_float=kept)
        return float(numpy.abs(run(made, pixels) - expected).mean() / expected.std())

    found = keep_worst(["second", "first", "third", "head"], drop, 0.02)
    assert found.enough
    assert found.layers == ("second", "first")
    assert found.drops[1] > 0.02 >= found.drops[2]
    made = static(integers.proto, integers.ranges, keep_float=found.layers)
    assert integer_layers(executed(made)) == 2


def test_it_stops_at_once_where_nothing_is_lost_and_at_the_end_where_all_is():
    assert keep_worst(["a", "b"], lambda kept: 0.0, 0.003).layers == ()
    found = keep_worst(["a", "b"], lambda kept: 0.5, 0.003)
    assert (found.layers, found.enough) == (("a", "b"), False)
    assert len(found.drops) == 3
