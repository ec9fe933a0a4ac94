"""Cutting channels out: what is cut is gone everywhere, and dead channels are not missed."""

import copy

import pytest
import torch
from tests.compression.test_fuse import lived_in
from torch import nn
from torch.nn import functional

from convsmith.compression.prune import keep_count, prune
from convsmith.errors import ModelError
from convsmith.models import MODELS

WIDTHS = {
    "digits_cnn": ((1, 8, 8), {"widths": (16, 32)}),
    "vgg_bn": ((3, 16, 16), {"widths": (16, 16, 32), "hidden": 32}),
    "resnet_small": ((3, 16, 16), {"widths": (16, 16, 24, 32)}),
}


@pytest.mark.parametrize("name", WIDTHS)
def test_dead_channels_are_those_that_go_and_nothing_changes(name):
    shape, options = WIDTHS[name]
    network = lived_in(MODELS[name](10, shape[0], shape[1:], **options))
    dead = kill_some(network, shape)
    inputs = torch.randn(3, *shape, dtype=torch.float64)
    found = prune(network, torch.zeros(2, *shape, dtype=torch.float64), 0.5)
    before, after = found.parameters
    assert after < 0.45 * before
    assert dead
    with torch.no_grad():
        assert torch.allclose(found.model(inputs), network(inputs), atol=1e-9)
    for cut in found.cuts:
        for layer in cut.layers:
            assert len(found.model.get_submodule(layer).weight) == cut.kept
            assert len(network.get_submodule(layer).weight) == cut.channels


def kill_some(network, shape):
    """Zero half of the channels of every group that must go together, as the pruner finds them."""
    cuts = prune(network, torch.zeros(2, *shape, dtype=torch.float64), 0.5).cuts
    modules = dict(network.named_modules())
    order = list(modules)
    for cut in cuts:
        gone = torch.randperm(cut.channels)[: cut.channels - cut.kept]
        for name in cut.layers:
            with torch.no_grad():
                modules[name].weight[gone] = 0
                if modules[name].bias is not None:
                    modules[name].bias[gone] = 0
            behind = modules[order[order.index(name) + 1]]  # the normalisation comes next here
            if not isinstance(behind, nn.modules.batchnorm._BatchNorm):
                behind = modules[name.replace("conv", "bn")]
            with torch.no_grad():
                behind.weight[gone] = 0
                behind.bias[gone] = 0
    return cuts


def test_what_a_sum_adds_keeps_the_same_channels():
    shape, options = WIDTHS["resnet_small"]
    network = MODELS["resnet_small"](10, *shape[:1], shape[1:], **options).eval()
    together = [set(cut.layers) for cut in prune(network, torch.zeros(2, *shape), 0.5).cuts]
    assert {"stem.0", "stage1.0.conv2", "stage1.1.conv2"} in together
    assert {"stage3.0.conv2", "stage3.0.downsample.0", "stage3.1.conv2"} in together
    assert {"stage2.1.conv1"} in together


class Mixed(nn.Module):
    """Depthwise, grouped, concatenated and reshaped channels."""

    def __init__(self):
        super().__init__()
        self.stem, self.deep = nn.Conv2d(3, 16, 3), nn.Conv2d(16, 16, 3, groups=16)
        self.point = nn.Conv2d(16, 16, 1)
        self.grouped = nn.Conv2d(16, 16, 3, groups=4)
        self.left, self.right = nn.Conv2d(16, 16, 1), nn.Conv2d(16, 16, 1)
        self.last = nn.Conv2d(32, 16, 1)
        self.head = nn.Linear(16 * 9, 5)

    def forward(self, x):
        x = self.grouped(self.point(functional.relu(self.deep(self.stem(x)))))
        x = self.last(torch.cat([self.left(x), self.right(x)], 1))
        return self.head(functional.adaptive_avg_pool2d(x, 3).flatten(1))


def test_channels_that_groups_or_joints_count_on_stay():
    network = Mixed().double().eval()
    found = prune(network, torch.zeros(2, 3, 12, 12, dtype=torch.float64), 0.5)
    assert {cut.layers for cut in found.cuts} == {("stem",), ("last",)}
    deep = found.model.deep
    assert (deep.in_channels, deep.out_channels, deep.groups) == (8, 8, 8)
    assert found.model.head.in_features == 8 * 9
    assert found.model(torch.zeros(2, 3, 12, 12, dtype=torch.float64)).shape == (2, 5)


def test_the_strongest_channels_stay():
    network = nn.Sequential(nn.Conv2d(1, 4, 1), nn.ReLU(), nn.Conv2d(4, 2, 1)).double()
    strengths = torch.tensor([0.5, -4.0, 0.1, 2.0])
    network[0].weight.data = strengths.double().view(4, 1, 1, 1)
    made = prune(network, torch.zeros(2, 1, 4, 4, dtype=torch.float64), 0.5).model
    assert made[0].weight.flatten().tolist() == [-4.0, 2.0]


def test_so_many_channels_stay():
    assert keep_count(64, 0.3) == 48  # 44.8, to a multiple of 8
    assert keep_count(64, 0.0) == 64
    assert keep_count(16, 0.9) == 8
    assert keep_count(6, 0.5) == 3
    assert keep_count(1, 0.9) == 1


def test_a_network_with_nothing_to_cut_is_refused():
    with pytest.raises(ModelError, match="no layer"):
        prune(nn.Sequential(nn.Flatten(), nn.Linear(12, 3)), torch.zeros(2, 3, 2, 2), 0.5)


def test_the_network_itself_stays_as_it_is():
    network = MODELS["digits_cnn"](10, 1, (8, 8))
    before = copy.deepcopy(network.state_dict())
    prune(network, torch.zeros(2, 1, 8, 8), 0.5)
    assert network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
