"""Folding: the same function, and what cannot be folded is left and said."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from convsmith.compression.fuse import fuse
from convsmith.errors import ModelError
from convsmith.models import MODELS


def lived_in(model, dtype=torch.float64):
    """Give BatchNorms statistics and weights as after a training."""
    draw = torch.Generator().manual_seed(1)
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            if module.running_mean is not None:
                module.running_mean.normal_(0, 0.5, generator=draw)
                module.running_var.uniform_(0.3, 3, generator=draw)
            if module.weight is not None:
                module.weight.data.uniform_(-1.5, 1.5, generator=draw)
                module.bias.data.normal_(0, 0.5, generator=draw)
    return model.to(dtype).eval()


def outputs(model, fused, shape, dtype=torch.float64):
    inputs = torch.randn(5, *shape, dtype=dtype)
    with torch.no_grad():
        return model(inputs), fused(inputs)


def norms(model):
    return [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]


FAMILIES = {
    "digits_cnn": (1, 8, 8),
    "mnist_bn": (1, 28, 28),
    "vgg_bn": (3, 32, 32),
    "resnet_small": (3, 16, 16),
    "resnet_wide3": (3, 16, 16),
}


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_says_the_same_in_both_precisions(name):
    shape = FAMILIES[name]
    small = {"resnet_small": (8, 12, 16, 20), "resnet_wide3": (8, 12, 16), "vgg_bn": (8, 12, 16)}
    options = {"widths": small[name]} if name in small else {}
    model = lived_in(MODELS[name](10, shape[0], shape[1:], **options))
    found = fuse(model, torch.zeros(2, *shape, dtype=torch.float64))
    assert norms(model)
    assert norms(found.model) == []
    expected, given = outputs(model, found.model, shape)
    assert torch.allclose(given, expected, rtol=0, atol=1e-9)
    single = copy.deepcopy(model).float()
    fused = fuse(single, torch.zeros(2, *shape)).model
    expected, given = outputs(single, fused, shape, torch.float32)
    assert torch.allclose(given, expected, rtol=1e-4, atol=1e-4 * expected.abs().max())


KINDS = st.tuples(
    st.integers(1, 3),  # groups
    st.integers(1, 3),  # input channels of a group
    st.integers(1, 3),  # output channels of a group
    st.integers(1, 3),  # kernel and stride
    *[st.booleans()] * 4,  # depthwise, transposed, with a bias, with an affine norm
)


def branch(kind):
    groups, ins, outs, kernel, depthwise, transposed, bias, affine = kind
    ins, outs = (groups, groups) if depthwise else (groups * ins, groups * outs)
    layer = nn.ConvTranspose2d if transposed else nn.Conv2d
    conv = layer(ins, outs, kernel, stride=kernel, groups=groups, bias=bias)
    return nn.Sequential(conv, nn.BatchNorm2d(outs, affine=affine), nn.ReLU())


class Branches(nn.Module):
    """Many convolutions side by side, so that one graph shows them all."""

    def __init__(self, kinds):
        super().__init__()
        self.branches = nn.ModuleList(map(branch, kinds))

    def forward(self, x):
        given = [(each, x[:, : each[0].in_channels]) for each in self.branches]
        return torch.cat([each(part).flatten(1) for each, part in given], 1)


@settings(max_examples=6, deadline=None)
@given(kinds=st.lists(KINDS, min_size=8, max_size=12))
def test_every_kind_of_convolution(kinds):
    model = lived_in(Branches(kinds))
    found = fuse(model, torch.zeros(2, 9, 6, 6, dtype=torch.float64))
    assert norms(found.model) == []
    expected, given_ = outputs(model, found.model, (9, 6, 6))
    assert torch.allclose(given_, expected, rtol=0, atol=1e-9)
    for layer, (groups, *_, transposed, _, _) in zip(found.layers, kinds, strict=True):
        assert layer.absorbed == layer.name.removesuffix("0") + "1"
        assert layer.then == ("relu",)
        assert ("grouped" in layer.kind or "depthwise" in layer.kind) == (groups > 1)
        assert ("transposed" in layer.kind) == transposed


class Residual(nn.Module):
    """Two paths that meet; the normalised output is used twice."""

    def __init__(self):
        super().__init__()
        self.stem, self.norm = nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6)
        self.deep, self.deep_norm = nn.Conv2d(6, 6, 3, padding=1, groups=6), nn.BatchNorm2d(6)

    def forward(self, x):
        x = self.norm(self.stem(x))
        return functional.relu(self.deep_norm(self.deep(x)) + x).mean((2, 3))


def test_a_residual_sum_is_no_obstacle():
    model = lived_in(Residual())
    found = fuse(model, torch.zeros(2, 3, 8, 8, dtype=torch.float64))
    assert norms(found.model) == []
    expected, given_ = outputs(model, found.model, (3, 8, 8))
    assert torch.allclose(given_, expected, rtol=0, atol=1e-9)
    assert found.layers[1].then == ("sum", "relu")


class Peeking(Residual):
    """Something looks at the convolution's output before it is normalised."""

    def forward(self, x):
        raw = self.stem(x)
        return self.deep_norm(self.deep(self.norm(raw) + raw)).mean((2, 3))


class Shared(Residual):
    """One convolution, normalised in two ways."""

    def forward(self, x):
        return (self.norm(self.stem(x)) + self.deep_norm(self.stem(x))).mean((2, 3))


class Twice(Residual):
    """A convolution and its normalisation, used twice together."""

    def forward(self, x):
        return (self.norm(self.stem(x)) + self.norm(self.stem(2 * x))).mean((2, 3))


class Batchwise(Residual):
    """A normalisation by the statistics of the batch, in evaluation too."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm2d(6, track_running_stats=False)


class Early(Residual):
    """A normalisation before the convolution: padding is not normalised, so it cannot be moved."""

    def forward(self, x):
        return self.deep(self.norm(functional.relu(self.stem(x)))).mean((2, 3))


class Weighed(Residual):
    """A convolution whose weight is computed from others."""

    def __init__(self):
        super().__init__()
        nn.utils.parametrizations.weight_norm(self.stem)


@pytest.mark.parametrize(
    ("kind", "left", "why"),
    [
        (Peeking, {"norm"}, "something else uses the output of stem"),
        (Shared, {"norm", "deep_norm"}, "used elsewhere"),
        (Twice, set(), ""),
        (Batchwise, {"norm"}, "no running statistics"),
        (Early, {"norm"}, "no convolution"),
        (Weighed, {"norm"}, "computed"),
    ],
)
def test_only_what_is_proven_is_folded_and_the_rest_says_why(kind, left, why):
    model = lived_in(kind())
    found = fuse(model, torch.zeros(2, 3, 8, 8, dtype=torch.float64))
    expected, given_ = outputs(model, found.model, (3, 8, 8))
    assert torch.allclose(given_, expected, rtol=0, atol=1e-9)
    reasons = {each.name: each.reason for each in found.layers if each.reason}
    assert set(reasons) == left
    assert all(why in reason for reason in reasons.values())


class WithActivation(nn.BatchNorm2d):
    """A BatchNorm with the activation in it, as timm's are."""

    def __init__(self, channels):
        super().__init__(channels)
        self.act = nn.ReLU()

    def forward(self, x):
        return self.act(super().forward(x))


class WithMore(nn.BatchNorm2d):
    """A BatchNorm that does something of its own."""

    def forward(self, x):
        return super().forward(x) * 2


@pytest.mark.parametrize(("kind", "folded"), [(WithActivation, True), (WithMore, False)])
def test_a_norm_with_something_in_it_keeps_that(kind, folded):
    model = lived_in(nn.Sequential(nn.Conv2d(3, 4, 3), kind(4), nn.Conv2d(4, 2, 3)))
    found = fuse(model, torch.zeros(2, 3, 8, 8, dtype=torch.float64))
    expected, given_ = outputs(model, found.model, (3, 8, 8))
    assert torch.allclose(given_, expected, rtol=0, atol=1e-9)
    assert (norms(found.model) == []) is folded


def test_group_normalisation_is_left_and_said():
    model = MODELS["digits_cnn"](10, 1, (8, 8), norm="group").eval()
    found = fuse(model, torch.zeros(2, 1, 8, 8))
    left = [each for each in found.layers if each.reason]
    assert len(left) == 4
    assert left[0].reason == "it normalises each image by what is in it"


def test_the_network_itself_is_left_as_it_is():
    model = MODELS["digits_cnn"](10, 1, (8, 8)).train()
    before = copy.deepcopy(model.state_dict())
    state = torch.get_rng_state()
    fuse(model, torch.zeros(2, 1, 8, 8))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(module.training for module in model.modules())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_network_that_depends_on_its_values_is_refused_in_a_line():
    class Fickle(nn.Module):
        def forward(self, x):
            return x if x.sum() > 0 else -x

    with pytest.raises(ModelError, match="cannot be followed"):
        fuse(Fickle(), torch.zeros(2, 3, 8, 8))
