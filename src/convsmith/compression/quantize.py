"""ONNX networks with integers: in the weights, in the activations too, from end to end.

A real number is ``scale * (integer - zero_point)``. Weights are int8 with a scale for each output
channel and zero point 0; activations are uint8 with one scale; biases int32 with the product of
both scales. Source: Jacob et al., "Quantization and Training of Neural Networks for Efficient
Integer-Arithmetic-Only Inference", 2017. What is written are ONNX's own operations; a runtime joins
``DequantizeLinear → Conv → QuantizeLinear`` into one integer convolution.
"""

from collections.abc import Collection, Mapping
from typing import Any

import numpy

from convsmith.compression.layers import (
    LEVELS,
    Array,
    Layer,
    activations,
    attributes,
    constants,
    copied,
    integer_nodes,
    layers_of,
)
from convsmith.exporting.libraries import require

__all__ = [
    "FULL",
    "Means",
    "Ranges",
    "bf16_weights",
    "dynamic",
    "scale_and_zero",
    "static",
    "weights_only",
]

Ranges = Mapping[str, tuple[float, float]]
"""The lowest and highest value of each activation."""

Means = Mapping[str, Array]
"""The mean of each channel of some activations."""

FULL = 127  # the largest int8 weight; 63 where 16-bit sums of two products would overflow
LARGEST_BIAS = 2**30


class Writer:
    """A copy of a model whose nodes are written anew, one after another."""

    def __init__(self, proto: Any) -> None:
        self.proto = copied(proto)
        self.graph = self.proto.graph
        self.old = list(self.graph.node)
        self.values = constants(self.graph)
        self.renamed: dict[str, str] = {}
        del self.graph.node[:]

    def node(self, kind: str, inputs: list[str], output: str, **options: Any) -> str:
        """Add a node with one output; return the output's name."""
        made = require("onnx").helper.make_node(kind, inputs, [output], output, **options)
        self.graph.node.append(made)
        return output

    def constant(self, name: str, value: Array) -> str:
        """Add an initializer; return its name."""
        self.graph.initializer.append(require("onnx").numpy_helper.from_array(value, name))
        return name

    def replace(self, name: str, value: Array) -> str:
        """Put other numbers into an initializer; return its name."""
        kept = [each for each in self.graph.initializer if each.name != name]
        del self.graph.initializer[:]
        self.graph.initializer.extend(kept)
        return self.constant(name, value)

    def keep(self, node: Any) -> None:
        """Add one of the model's own nodes, which takes what its inputs have become."""
        for place, name in enumerate(node.input):
            node.input[place] = self.renamed.get(name, name)
        self.graph.node.append(node)

    def finish(self) -> Any:
        """Return the model, without initializers that nothing uses any more."""
        used = {name for node in self.graph.node for name in node.input}
        kept = [each for each in self.graph.initializer if each.name in used]
        del self.graph.initializer[:]
        self.graph.initializer.extend(kept)
        return self.proto


def static(
    proto: Any,
    ranges: Ranges,
    *,
    means: Means | None = None,
    keep_float: Collection[str] = (),
    largest: int = FULL,
    between: bool = True,
) -> Any:
    """Return the network with int8 weights and uint8 activations of known ranges.

    Args:
        proto: an ONNX model.
        ranges: of all its activations, as calibration found them.
        means: of what layers take; their biases then make up for what rounded weights change of it.
        keep_float: layers that stay as they are.
        largest: the largest int8 weight.
        between: whether sums, means and the like are integers too.
    """
    writer = Writer(proto)
    layers = {each.node.output[0]: each for each in layers_of(proto.graph)}
    nodes = integer_nodes(proto.graph, keep_float, between=between)
    chosen, sources = {each.output[0] for each in nodes}, activations(proto.graph, nodes)
    for given in writer.graph.input:
        if given.name in sources:
            quantised(writer, given.name, *ranges[sources[given.name]])
    for node in writer.old:
        name = node.output[0]
        if name in chosen and name in layers:
            scale, _ = scale_and_zero(*ranges[sources[node.input[0]]])
            mean = (means or {}).get(node.input[0])
            integer_parameters(writer, layers[name], node, largest, scale, mean)
        if name == LEVELS and name in sources:  # the image is what it would be rounded to
            real_again(writer, name, node.input[0], *parameters(writer, name, 0.0, 255.0))
            continue
        writer.keep(node)
        if name in sources:
            if name in layers and name not in chosen:
                guard(writer, name)
            quantised(writer, name, *ranges[sources[name]])
    return writer.finish()


def guard(writer: Writer, name: str) -> None:
    """Keep a layer real whose output is rounded at once.

    ONNX Runtime makes the weights between DequantizeLinear and QuantizeLinear int8 by itself.
    """
    lowest = writer.constant(f"{name}_lowest", numpy.array(numpy.finfo("f").min, numpy.float32))
    writer.renamed[name] = writer.node("Max", [name, lowest], f"{name}_itself")


def quantised(writer: Writer, name: str, low: float, high: float) -> None:
    """Make a tensor uint8 and real again: whatever takes it takes that."""
    scale, zero = parameters(writer, name, low, high)
    given = writer.renamed.get(name, name)
    short = writer.node("QuantizeLinear", [given, scale, zero], f"{name}_uint8")
    real_again(writer, name, short, scale, zero)


def parameters(writer: Writer, name: str, low: float, high: float) -> tuple[str, str]:
    """Add scale and zero point of a tensor as constants; return their names."""
    scale, zero = scale_and_zero(low, high)
    return (
        writer.constant(f"{name}_scale", numpy.array(scale, numpy.float32)),
        writer.constant(f"{name}_zero", numpy.array(zero, numpy.uint8)),
    )


def real_again(writer: Writer, name: str, short: str, scale: str, zero: str) -> None:
    """Let whatever takes a tensor take the real values of some integers."""
    writer.renamed[name] = writer.node("DequantizeLinear", [short, scale, zero], f"{name}_real")


def scale_and_zero(low: float, high: float) -> tuple[float, int]:
    """Return scale and zero point of a uint8 that reaches from ``low`` to ``high`` and has a 0."""
    low, high = min(low, 0.0), max(high, 0.0)
    scale = (high - low) / 255 or 1.0
    return scale, round(-low / scale)


def integer_parameters(
    writer: Writer, layer: Layer, node: Any, largest: int, input_scale: float, mean: Array | None
) -> None:
    """Make a layer's weights int8, and its bias int32, given the scale of its input.

    If the mean of its input is known, the bias takes up what rounding the weights changes of the
    mean of its output. Source: Nagel et al., "Data-Free Quantization Through Weight Equalization
    and Bias Correction", 2019.
    """
    weight, name = writer.values[layer.weight], node.output[0]
    bias = writer.values.get(node.input[2]) if len(node.input) > 2 else None
    least = None
    if bias is not None:  # a channel without weights must not make the bias overflow
        least = numpy.abs(bias) / (LARGEST_BIAS * input_scale)
    whole, scales = integer_weight(weight, layer.axis, largest, least)
    real = dequantised(writer, f"{name}_weight", whole, scales, layer.axis)
    writer.renamed[layer.weight] = node.input[1] = real
    if mean is not None and node.op_type != "MatMul":
        error = weight - whole * aligned(scales, whole.ndim, layer.axis)
        bias = (0 if bias is None else bias) + mean_of(error, mean, layer.axis)
    if bias is not None:
        products = scales.astype(numpy.float64) * input_scale
        units = numpy.rint(bias / products).astype(numpy.int32)
        added = dequantised(writer, f"{name}_bias", units, products.astype(numpy.float32), 0)
        del node.input[2:]
        node.input.append(added)


def mean_of(weight: Array, mean: Array, axis: int) -> Array:
    """Return the mean output ``(channels,)`` of a layer without bias, given that of its input."""
    if weight.ndim == 2:
        return numpy.asarray(mean @ (weight if axis else weight.T))
    by_channel = weight.reshape(*weight.shape[:2], -1).sum(2)
    groups = len(mean) // weight.shape[1]
    given = mean.reshape(groups, -1).repeat(len(weight) // groups, 0)
    return numpy.asarray((by_channel * given).sum(1))


def integer_weight(
    weight: Array, axis: int, largest: int, least: Array | None = None
) -> tuple[Array, Array]:
    """Return a weight as int8 and the scale ``(channels,)`` of each of its output channels.

    ``least`` is what the scales must not be below.
    """
    others = tuple(each for each in range(weight.ndim) if each != axis)
    scales = numpy.abs(weight).max(others) / largest
    if least is not None:
        scales = numpy.maximum(scales, least)
    scales = numpy.where(scales > 0, scales, 1).astype(numpy.float32)
    whole = numpy.rint(weight / aligned(scales, weight.ndim, axis))
    return whole.clip(-largest, largest).astype(numpy.int8), scales


def aligned(scales: Array, dims: int, axis: int) -> Array:
    """Return scales in the shape in which they multiply a weight."""
    return scales.reshape([-1 if each == axis else 1 for each in range(dims)])


def dequantised(writer: Writer, name: str, whole: Array, scales: Array, axis: int) -> str:
    """Add integers as constants, and their real values; return the name of these."""
    inputs = [
        writer.constant(f"{name}_{whole.dtype}", whole),
        writer.constant(f"{name}_scale", scales),
        writer.constant(f"{name}_zero", numpy.zeros(scales.shape, whole.dtype)),
    ]
    return writer.node("DequantizeLinear", inputs, f"{name}_real", axis=axis)


def weights_only(proto: Any, *, keep_float: Collection[str] = (), largest: int = FULL) -> Any:
    """Return the network with int8 weights that become real again, once, when it is loaded."""
    writer = Writer(proto)
    kinds = ("Conv", "ConvTranspose", "Gemm", "MatMul")
    to = require("onnx").TensorProto.FLOAT
    layers = {each.node.output[0]: each for each in layers_of(proto.graph, kinds)}
    for node in writer.old:
        layer = layers.get(node.output[0])
        known = layer is None or layer.name in keep_float or layer.weight in writer.renamed
        if layer is not None and not known:
            whole, scales = integer_weight(writer.values[layer.weight], layer.axis, largest)
            # not DequantizeLinear: ONNX Runtime keeps that for every run, these it does in advance
            cast = writer.node(
                "Cast",
                [writer.constant(f"{layer.weight}_int8", whole)],
                f"{layer.weight}_cast",
                to=to,
            )
            factor = writer.constant(
                f"{layer.weight}_scale", aligned(scales, whole.ndim, layer.axis)
            )
            writer.renamed[layer.weight] = writer.node(
                "Mul", [cast, factor], f"{layer.weight}_real"
            )
        writer.keep(node)
    return writer.finish()


def bf16_weights(proto: Any) -> Any:
    """Return the network with weights of half the size, made real again when it is loaded."""
    onnx = require("onnx")
    writer = Writer(proto)
    for name, value in writer.values.items():
        if value.dtype == numpy.float32 and value.ndim > 1:
            short = onnx.helper.make_tensor(
                f"{name}_bf16", onnx.TensorProto.BFLOAT16, value.shape, to_bf16(value), raw=True
            )
            writer.graph.initializer.append(short)
            cast = writer.node("Cast", [short.name], f"{name}_real", to=onnx.TensorProto.FLOAT)
            writer.renamed[name] = cast
    for node in writer.old:
        writer.keep(node)
    return writer.finish()


def to_bf16(value: Array) -> bytes:
    """Return the bytes of numbers as bf16, rounded to the nearest, ties to even."""
    bits = numpy.ascontiguousarray(value).view(numpy.uint32)
    rounded = bits + 0x7FFF + ((bits >> 16) & 1)
    return (rounded >> 16).astype("<u2").tobytes()


def dynamic(proto: Any, *, keep_float: Collection[str] = (), largest: int = FULL) -> Any:
    """Return the network with int8 weights, and uint8 activations whose range each run takes.

    Convolutions become ConvInteger, linear layers MatMulInteger; between them numbers are real.
    """
    writer = Writer(proto)
    layers = {each.node.output[0]: each for each in layers_of(proto.graph)}
    seen: dict[str, tuple[str, str, str]] = {}
    for node in writer.old:
        layer = layers.get(node.output[0])
        if layer is None or layer.name in keep_float:
            writer.keep(node)
        else:
            if node.input[0] not in seen:
                seen[node.input[0]] = measured(writer, node.input[0])
            integer_product(writer, layer, node, seen[node.input[0]], largest)
    return writer.finish()


def measured(writer: Writer, name: str) -> tuple[str, str, str]:
    """Make a tensor uint8 by the range that it has in this run: the integers, scale and zero."""
    names = (f"{name}_uint8", f"{name}_scale", f"{name}_zero")
    helper = require("onnx").helper
    node = helper.make_node("DynamicQuantizeLinear", [name], names, names[0])
    writer.graph.node.append(node)
    return names


def integer_product(
    writer: Writer, layer: Layer, node: Any, given: tuple[str, str, str], largest: int
) -> None:
    """Write a layer as a product of integers that is then scaled and has its bias added."""
    whole, scale, zero = given
    output = node.output[0]
    integers, scales = integer_weight(writer.values[layer.weight], layer.axis, largest)
    convolution = node.op_type == "Conv"
    if node.op_type == "Gemm" and layer.axis == 0:
        integers = numpy.ascontiguousarray(integers.T)
    name = writer.constant(f"{output}_weight", integers)
    kind, options = "MatMulInteger", {}
    if convolution:
        kind, options = "ConvInteger", attributes(node)
    product = writer.node(kind, [whole, name, zero], f"{output}_int32", **options)
    to = require("onnx").TensorProto.FLOAT
    real = writer.node("Cast", [product], f"{output}_cast", to=to)
    shape = (1, -1, *[1] * (integers.ndim - 2)) if convolution else (1, -1)
    by_channel = writer.constant(f"{output}_scales", scales.reshape(shape))
    factor = writer.node("Mul", [scale, by_channel], f"{output}_factor")
    bias = writer.values[node.input[2]] if len(node.input) > 2 else None
    target = output if bias is None else f"{output}_scaled"
    scaled = writer.node("Mul", [real, factor], target)
    if bias is not None:
        shaped = writer.constant(f"{output}_bias", bias.astype(numpy.float32).reshape(shape))
        writer.node("Add", [scaled, shaped], output)
