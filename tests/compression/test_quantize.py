"""The four kinds of integers: what they compute, checked against arithmetic made here."""

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.compression.networks import exported, images, one_layer, run
from tests.compression.test_fuse import lived_in
from torch import nn
from torch.nn import functional

from convsmith.compression.calibrate import calibrated, statistics
from convsmith.compression.ends import absorbed, full, real_logits
from convsmith.compression.layers import layers_of, pooled_globally, require_layers
from convsmith.compression.quantize import (
    bf16_weights,
    dynamic,
    scale_and_zero,
    static,
    to_bf16,
    weights_only,
)
from convsmith.compression.runtime import executed, integer_layers, joined, kinds
from convsmith.errors import UserError
from convsmith.models import MODELS

FLOATS = {"Conv", "FusedConv", "Gemm", "FusedGemm", "MatMul"}


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    network = lived_in(MODELS["digits_cnn"](10, 1, (8, 8), widths=(8, 16)), torch.float32)
    return exported(network, 1, 8, tmp_path_factory.mktemp("digits"))


@pytest.fixture(scope="module")
def residual(tmp_path_factory):
    network = lived_in(MODELS["resnet_small"](10, 3, (16, 16), widths=(8, 16, 16, 24)))
    return exported(network.float(), 3, 16, tmp_path_factory.mktemp("residual"))


@pytest.fixture(params=["digits", "residual"])
def network(request):
    """An exported network, and images of its size."""
    proto = request.getfixturevalue(request.param)
    return proto, images(64, *((1, 8) if request.param == "digits" else (3, 16)))


def rounded(weight, largest=127):
    """A weight as int8 with a scale for each filter, and real again."""
    scale = numpy.abs(weight).max(tuple(range(1, weight.ndim)), keepdims=True) / largest
    scale[scale == 0] = 1
    return numpy.rint(weight / scale) * scale


def as_uint8(x, low, high):
    """Numbers rounded to a uint8 of that range, and real again."""
    scale, zero = scale_and_zero(low, high)
    return (numpy.clip(numpy.rint(x / scale) + zero, 0, 255) - zero) * scale


LAYERS = st.tuples(
    st.integers(1, 2),  # groups
    st.integers(1, 4),  # input channels of a group
    st.integers(1, 4),  # output channels of a group
    st.integers(1, 3),  # kernel
    st.integers(1, 2),  # stride
    st.booleans(),  # with a bias
    st.integers(0, 2**32 - 1),
)


def convolution(kind):
    """A convolution's model, its inputs, and what it computes of a weight and inputs."""
    groups, ins, outs, kernel, stride, with_bias, seed = kind
    draw = numpy.random.default_rng(seed)
    weight = draw.normal(size=(groups * outs, ins, kernel, kernel)) * draw.uniform(0.1, 3)
    bias = draw.normal(size=groups * outs) if with_bias else None
    x = draw.normal(size=(3, groups * ins, 6, 6)).astype(numpy.float32)
    pads = [kernel // 2] * 4
    proto = one_layer(weight, bias, strides=[stride] * 2, pads=pads, group=groups)

    def compute(weight, x):
        tensors = [torch.from_numpy(numpy.asarray(each, numpy.float64)) for each in (x, weight)]
        shift = None if bias is None else torch.from_numpy(bias)
        return functional.conv2d(*tensors, shift, stride, kernel // 2, groups=groups).numpy()

    return proto, weight.astype(numpy.float32), x, compute


@settings(max_examples=20, deadline=None)
@given(kind=LAYERS)
def test_weights_only_is_the_convolution_with_rounded_weights(kind):
    proto, weight, x, compute = convolution(kind)
    found = run(weights_only(proto), x)
    assert numpy.allclose(found, compute(rounded(weight), x), atol=1e-4)


@settings(max_examples=20, deadline=None)
@given(kind=LAYERS)
def test_dynamic_is_the_convolution_with_rounded_weights_and_inputs(kind):
    proto, weight, x, compute = convolution(kind)
    found = run(dynamic(proto), x)
    expected = compute(rounded(weight), as_uint8(x, float(x.min()), float(x.max())))
    assert numpy.allclose(found, expected, atol=2e-3 * numpy.abs(expected).max())


@settings(max_examples=20, deadline=None)
@given(kind=LAYERS)
def test_static_is_the_convolution_with_rounded_weights_and_inputs(kind):
    proto, weight, x, compute = convolution(kind)
    low, high = float(x.min()), float(x.max())
    found = run(static(proto, {"input": (low, high)}), x)
    expected = compute(rounded(weight), as_uint8(x, low, high))
    assert numpy.allclose(found, expected, atol=1e-3 * numpy.abs(expected).max() + 1e-5)


def test_a_linear_layer_in_all_kinds():
    draw = numpy.random.default_rng(0)
    weight, bias = draw.normal(size=(5, 7)), draw.normal(size=5)
    x = draw.normal(size=(9, 7)).astype(numpy.float32)
    proto = one_layer(weight, bias)
    x8 = as_uint8(x, float(x.min()), float(x.max()))
    expected = x8 @ rounded(weight).T + bias
    assert numpy.allclose(run(dynamic(proto), x), expected, atol=1e-3)
    ranges = {"input": (float(x.min()), float(x.max()))}
    assert numpy.allclose(run(static(proto, ranges), x), expected, atol=1e-3)
    assert numpy.allclose(run(weights_only(proto), x), x @ rounded(weight).T + bias, atol=1e-4)


def test_a_filter_of_zeros_keeps_its_bias():
    weight = numpy.ones((2, 1, 1, 1))
    weight[1] = 1e-20  # as BatchNorm leaves a dead channel
    x = numpy.random.default_rng(0).uniform(0, 1, (4, 1, 3, 3)).astype(numpy.float32)
    proto = one_layer(weight, numpy.array([0.5, -0.75]))
    found = run(static(proto, {"input": (0.0, 1.0)}), x)
    assert numpy.allclose(found[:, 1], -0.75, atol=1e-6)


def test_weights_of_seven_bits():
    weight = numpy.random.default_rng(0).normal(size=(4, 3, 3, 3))
    made = weights_only(one_layer(weight), largest=63)
    stored = next(each for each in made.graph.initializer if each.name.endswith("int8"))
    assert max(map(abs, numpy.frombuffer(stored.raw_data, numpy.int8).tolist())) == 63


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), max_size=20))
def test_bf16_is_rounded_as_pytorch_rounds(values):
    ours = to_bf16(numpy.array(values, numpy.float32))
    theirs = torch.tensor(values, dtype=torch.float32).bfloat16().view(torch.int16)
    assert ours == theirs.numpy().tobytes()


def test_the_scale_of_a_range_has_a_zero():
    for low, high in ((0.5, 2.0), (-3.0, -1.0), (-1.0, 2.0), (0.0, 0.0)):
        scale, zero = scale_and_zero(low, high)
        assert 0 <= zero <= 255
        assert scale > 0
        if high > low:
            assert (255 - zero) * scale >= high - scale / 2
            assert -zero * scale <= low + scale / 2


def test_networks_keep_their_meaning_in_all_kinds(network):
    proto, pixels = network
    expected = run(proto, pixels)
    integers = calibrated(proto, [pixels[:32], pixels[32:]], 2)
    made = {
        "weights": weights_only(proto),
        "bf16": bf16_weights(proto),
        "dynamic": dynamic(proto),
        "static": static(integers.proto, integers.ranges, means=integers.means),
    }
    for name, variant in made.items():
        found = run(variant, pixels)
        assert numpy.abs(found - expected).max() < 0.04 * numpy.abs(expected).max(), name
        assert (found.argmax(1) == expected.argmax(1)).mean() > 0.9, name
    size = len(proto.SerializeToString())
    assert len(made["bf16"].SerializeToString()) < 0.6 * size


def test_every_layer_really_runs_with_integers(network):
    proto, pixels = network
    integers = calibrated(proto, [pixels], 2)
    layers = len(layers_of(proto.graph))
    for made in (static(integers.proto, integers.ranges, means=integers.means), dynamic(proto)):
        operations = executed(made)
        assert integer_layers(operations) == layers
        spare = 1 if "maps" in [each.name for each in proto.graph.output] else 0
        assert sum(kinds(operations)[kind] for kind in FLOATS) == spare
    assert integer_layers(executed(weights_only(proto))) == 0


def test_full_has_integers_alone_from_the_image_to_the_logits(network):
    proto, pixels = network
    integers = calibrated(proto, [pixels], 2)
    made = full(integers.proto, integers.ranges, means=integers.means)
    assert integers.whole
    assert [each.name for each in made.graph.output] == ["output"]
    output = run(made, pixels)
    assert output.dtype == numpy.uint8
    texts = {each.key: each.value for each in made.metadata_props}
    expected = run(proto, pixels)
    found = real_logits(output, texts)
    assert numpy.abs(found - expected).max() < 0.05 * numpy.abs(expected).max()
    operations = set(kinds(executed(made)))
    moving = {"Split", "Pad", "Concat", "Transpose", "Reshape", "NhwcMaxPool", "MaxPool"}
    assert operations - moving <= {"QLinearConv", "QLinearAdd", "QLinearGlobalAveragePool", "QGemm"}


def test_the_normalisation_goes_into_the_first_convolution(network):
    proto, pixels = network
    expected, found = run(proto, pixels), run(absorbed(proto)[0], pixels)
    assert numpy.abs(found - expected).max() < 1e-3 * numpy.abs(expected).max()
    assert "Sub" not in kinds(executed(absorbed(proto)[0]))


def test_a_network_without_a_first_convolution_is_normalised_first(tmp_path):
    proto = exported(MODELS["mlp"](10, 1, (8, 8)).eval(), 1, 8, tmp_path)
    pixels = images(32, 1, 8)
    integers = calibrated(proto, [pixels], 2)
    assert not integers.whole
    made = static(integers.proto, integers.ranges, means=integers.means)
    assert integer_layers(executed(made)) == 3
    assert numpy.allclose(run(made, pixels), run(proto, pixels), atol=0.05)


def test_layers_that_are_kept_stay_real(residual):
    pixels = images(32, 3, 16)
    integers = calibrated(residual, [pixels], 2)
    names = [each.name for each in layers_of(residual.graph)]
    assert names[:2] == ["stem.0", "stage1.0.conv1"]
    expected = run(residual, pixels)
    all_real = static(integers.proto, integers.ranges, keep_float=names, between=False)
    assert numpy.abs(run(all_real, pixels) - expected).max() < 1e-3 * numpy.abs(expected).max()
    kept = ["stem.0", "stage1.0.conv1", "stage2.0.conv2", "stage2.0.downsample.0", "head"]
    made = static(integers.proto, integers.ranges, keep_float=kept)
    assert integer_layers(executed(made)) == len(names) - len(kept)
    assert numpy.abs(run(made, pixels) - expected).max() < 0.04 * numpy.abs(expected).max()


def test_a_kept_layer_that_goes_straight_into_the_next_stays_real(tmp_path):
    network = nn.Sequential(nn.Conv2d(3, 8, 1), nn.Conv2d(8, 8, 1), nn.Conv2d(8, 4, 1), Mean())
    proto, pixels = exported(network, 3, 8, tmp_path), images(16, 3, 8)
    integers = calibrated(proto, [pixels], 2)
    made = static(integers.proto, integers.ranges, keep_float=["1"])
    assert integer_layers(executed(made)) == 2
    expected = run(proto, pixels)
    assert numpy.abs(run(made, pixels) - expected).max() < 0.04 * numpy.abs(expected).max()


class Mean(nn.Module):
    """The mean over all places."""

    def forward(self, x):
        return x.mean((2, 3))


def test_a_layer_that_is_not_there_is_named_with_the_nearest(digits):
    with pytest.raises(UserError, match=r"no layer called 'stage1\.2'.*`stage1\.\d`"):
        require_layers(digits.graph, ["stage1.2"])


def test_ranges_are_the_lowest_and_highest_values(digits):
    pixels = images(48, 1, 8)
    ranges, means = statistics(digits, ["output"], [pixels[:16], pixels[16:]], 2)
    logits = run(digits, pixels)
    assert ranges["output"] == (float(logits.min()), float(logits.max()))
    assert numpy.allclose(means["output"], logits.mean(0), atol=1e-5)


@settings(max_examples=20, deadline=None)
@given(kind=LAYERS)
def test_with_the_mean_of_its_input_a_layer_keeps_the_mean_of_its_output(kind):
    proto, weight, x, compute = convolution((*kind[:3], 1, 1, *kind[5:]))
    x += 2
    ranges = {"input": (float(x.min()), float(x.max()))}
    x8 = as_uint8(x, *ranges["input"]).astype(numpy.float32)
    expected = compute(weight, x8).mean((0, 2, 3))
    found = run(static(proto, ranges, means={"input": x8.mean((0, 2, 3))}), x).mean((0, 2, 3))
    without = run(static(proto, ranges), x).mean((0, 2, 3))
    most = 2e-4 * numpy.abs(expected).max() + 1e-4
    assert numpy.abs(found - expected).max() < most
    assert numpy.abs(found - expected).max() <= numpy.abs(without - expected).max() + most


def test_a_mean_over_all_places_becomes_pooling_and_stays_the_same(residual):
    pixels = images(8, 3, 16)
    pooled = pooled_globally(residual)
    assert "GlobalAveragePool" in [node.op_type for node in pooled.graph.node]
    assert numpy.allclose(run(pooled, pixels), run(residual, pixels), atol=1e-5)


def test_what_the_runtime_does_in_one_go_is_read_from_it(residual):
    found = joined(residual)
    assert found["stem.0"] == ("relu",)
    assert found["stage1.0.conv2"] == ("sum", "relu")
    assert found["head"] == ()
