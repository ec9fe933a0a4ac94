"""Training with rounded numbers: they are rounded as the quantised network rounds them."""

import copy

import numpy
import onnx
import pytest
import torch
from tests.compression.networks import images, input_of, run
from tests.compression.test_fuse import lived_in
from torch import nn

from convsmith.compression.calibrate import calibrated
from convsmith.compression.fake import FakeActivation, FakeWeight, fake_quantised, trained_weights
from convsmith.compression.fuse import fuse
from convsmith.compression.quantize import static
from convsmith.exporting.graph import Deployed
from convsmith.exporting.onnx import to_onnx
from convsmith.nn.conv import conv_norm_relu
from convsmith.nn.residual import BasicBlock

GIVEN = input_of(3, 16, (128 / 255, 100 / 255, 90 / 255))  # of which padding is exact


@pytest.fixture(scope="module")
def folded():
    """Not deep: where one value is rounded to another side, deep networks go other ways."""
    network = nn.Sequential(
        conv_norm_relu(3, 8),
        BasicBlock(8, 12, 2),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(12, 10),
    )
    return fuse(lived_in(network).float(), torch.zeros(2, 3, 16, 16)).model


@pytest.fixture
def rounded(folded):
    factors = [1 / (255 * std) for std in GIVEN.std]
    return fake_quantised(folded, torch.zeros(2, 3, 16, 16), largest=127, factors=factors)


def normalised(pixels):
    return Deployed(nn.Identity(), GIVEN)(torch.from_numpy(pixels))


def watched(network, pixels):
    """Let a network see the ranges of some images, without rounding."""
    kinds = (FakeActivation, FakeWeight)
    hooks = [
        module.register_forward_hook(lambda module, given, rounded: given[0])
        for module in network.modules()
        if isinstance(module, kinds)
    ]
    network.train()
    with torch.no_grad():
        network(normalised(pixels))
    for hook in hooks:
        hook.remove()
    return network.eval()


def test_it_says_what_the_quantised_network_says(folded, rounded, tmp_path):
    pixels = images(64, 3, 16)
    with torch.no_grad():
        ours = watched(rounded, pixels)(normalised(pixels)).numpy()
        real = folded(normalised(pixels)).numpy()
    to_onnx(folded, GIVEN, tmp_path / "folded.onnx")
    integers = calibrated(onnx.load(tmp_path / "folded.onnx"), [pixels], 2)
    theirs = run(static(integers.proto, integers.ranges, means=integers.whole), pixels)
    between, lost = numpy.abs(ours - theirs).mean(), numpy.abs(theirs - real).mean()
    assert between < 0.1 * lost
    assert (ours.argmax(1) == theirs.argmax(1)).mean() > 0.98


def test_weights_have_their_names_and_can_be_trained(folded, rounded):
    names = trained_weights(rounded)
    assert names.keys() == folded.state_dict().keys()
    before = copy.deepcopy(names)
    inputs = normalised(images(16, 3, 16))
    rounded.train()
    optimizer = torch.optim.SGD(rounded.parameters(), 0.1)
    rounded(inputs).logsumexp(1).sum().backward()
    optimizer.step()
    changed = [
        name
        for name, value in trained_weights(rounded).items()
        if name.endswith("weight") and not torch.equal(value, before[name])
    ]
    assert len(changed) == 5
    assert all(
        torch.equal(a, b)
        for a, b in zip(folded.state_dict().values(), before.values(), strict=True)
    )


def test_every_sum_and_layer_is_rounded_but_the_logits(rounded):
    places = [each for each in rounded.modules() if isinstance(each, FakeActivation)]
    assert len(places) == 4 + 1 + 1  # convolutions, the sum, the mean over all places


def test_what_is_rounded_to_256_values_has_at_most_so_many():
    layer = FakeActivation().train()
    x = torch.randn(10_000) * 3
    found = layer(x)
    assert len(found.unique()) <= 256
    step = float(x.max() - x.min()) / 255
    assert float((found - x).abs().max()) <= step / 2 + 1e-5
    assert found.eq(0).any()
    layer.eval()
    before = layer.low.clone()
    assert float(layer(100 * x).max()) <= float(x.max()) + step
    assert torch.equal(before, layer.low)


def test_the_gradient_stops_where_values_are_cut_off():
    layer = FakeActivation().train()
    layer(torch.tensor([0.0, 1.0]))
    x = torch.tensor([-0.5, 0.3, 2.0], requires_grad=True)
    layer.eval()(x).sum().backward()
    assert x.grad.tolist() == [0.0, 1.0, 0.0]
