"""Integers from end to end: a uint8 image goes into the first convolution, uint8 logits come out.

The normalisation ``(x - mean) * factor`` of each colour is put into the first layer's weights and
bias, so that the image itself is the integer activation, with scale 1, and loses nothing. Where the
layer pads, normalised zeros become the colour ``mean`` of the image, rounded to a whole number.
"""

from collections.abc import Collection
from typing import Any

import numpy

from convsmith.compression.layers import (
    LEVELS,
    OUTPUT,
    Array,
    attributes,
    constants,
    copied,
    users_of,
)
from convsmith.compression.quantize import FULL, Means, Ranges, Writer, scale_and_zero, static
from convsmith.exporting.libraries import require

__all__ = ["absorbed", "full", "real_logits"]

LOGITS = "logits"


def absorbed(proto: Any) -> tuple[Any, Array] | None:
    """Return the network whose first convolution takes the image's values from 0 to 255.

    Besides it, the means that the normalisation subtracts, in these values. None where the first
    layer is no convolution of the normalised image alone.
    """
    found = beginning(proto.graph)
    if found is None:
        return None
    old, conv, mean, factor = found
    writer = Writer(proto)
    weight = writer.values[conv.input[1]] * factor[None, :, None, None]
    bias = writer.values[conv.input[2]] if len(conv.input) > 2 else 0
    bias = bias - (weight * mean[None, :, None, None]).sum((1, 2, 3))
    options = attributes(conv)
    image = writer.graph.input[0].name
    pads = options.pop("pads", [0, 0, 0, 0])
    if any(pads):
        image = padded(writer, image, pads, numpy.rint(mean).astype(numpy.uint8))
    levels = writer.node("Cast", [image], LEVELS, to=require("onnx").TensorProto.FLOAT)
    inputs = [writer.replace(conv.input[1], weight.astype(numpy.float32))]
    inputs.append(writer.constant("bias_of_levels", bias.astype(numpy.float32)))
    writer.node("Conv", [levels, *inputs], conv.output[0], **options)
    for node in writer.old:
        if node.output[0] not in old:
            writer.keep(node)
    return writer.finish(), mean


def beginning(graph: Any) -> tuple[set[str], Any, Array, Array] | None:
    """Return what stands before and in the first convolution: names, node, means and factors."""
    values, users = constants(graph), users_of(graph)
    name, found = graph.input[0].name, []
    for kind in ("Cast", "Sub", "Mul", "Conv"):
        after = users.get(name, [])
        if len(after) != 1 or after[0].op_type != kind:
            return None
        found.append(after[0])
        name = after[0].output[0]
    _, less, times, conv = found
    options = attributes(conv)
    ours = less.input[1] in values and times.input[1] in values and conv.input[1] in values
    plain = options.get("group", 1) == 1 and options.get("auto_pad", b"NOTSET") == b"NOTSET"
    if not ours or not plain or len(users[conv.input[1]]) > 1:
        return None
    mean, factor = values[less.input[1]].reshape(-1), values[times.input[1]].reshape(-1)
    return {node.output[0] for node in found}, conv, mean, factor


def padded(writer: Writer, image: str, pads: list[int], colour: Array) -> str:
    """Put a frame of one colour around an image; return the new image's name."""
    top, left, bottom, right = pads
    widths = numpy.array([0, 0, top, left, 0, 0, bottom, right])
    around = writer.constant("frame", widths)
    names = [f"channel_{number}" for number in range(len(colour))]
    if len(colour) == 1:
        names = [image]
    else:
        node = require("onnx").helper.make_node(
            "Split", [image], names, "split", axis=1, num_outputs=len(names)
        )
        writer.graph.node.append(node)
    framed = [
        writer.node(
            "Pad",
            [name, around, writer.constant(f"{name}_mean", value.reshape(()))],
            f"{name}_framed",
        )
        for name, value in zip(names, colour, strict=True)
    ]
    return framed[0] if len(framed) == 1 else writer.node("Concat", framed, "framed", axis=1)


def full(
    proto: Any,
    ranges: Ranges,
    *,
    means: Means | None = None,
    keep_float: Collection[str] = (),
    largest: int = FULL,
) -> Any:
    """Return a network of integers alone, as far as its operations have them.

    Args:
        proto: what :func:`absorbed` returned, or a network as it is.
        ranges: of all activations and of ``output``.
        means: of what layers take, as for :func:`static`.
        keep_float: layers that stay as they are.
        largest: the largest int8 weight.

    The output ``output`` is uint8; what it stands for, :func:`real_logits` says.
    """
    without_maps = copied(proto)
    del without_maps.graph.output[1:]
    trimmed(without_maps)
    made = static(without_maps, ranges, means=means, keep_float=keep_float, largest=largest)
    writer = Writer(made)
    scale, zero = scale_and_zero(*ranges[OUTPUT])
    for node in writer.old:
        if node.output[0] == OUTPUT:
            node.output[0] = LOGITS
        writer.keep(node)
    parameters = [
        writer.constant("output_scale", numpy.array(scale, numpy.float32)),
        writer.constant("output_zero", numpy.array(zero, numpy.uint8)),
    ]
    writer.node("QuantizeLinear", [LOGITS, *parameters], OUTPUT)
    kind = require("onnx").TensorProto.UINT8
    writer.graph.output[0].type.tensor_type.elem_type = kind
    told = {"output_scale": repr(scale), "output_zero": str(zero)}
    before = {each.key: each.value for each in made.metadata_props}
    require("onnx").helper.set_model_props(writer.proto, before | told)
    return writer.finish()


def trimmed(proto: Any) -> None:
    """Remove the nodes that none of a model's outputs depends on."""
    graph = proto.graph
    wanted = {each.name for each in graph.output}
    kept = []
    for node in reversed(graph.node):
        if wanted & set(node.output):
            wanted |= set(node.input)
            kept.append(node)
    del graph.node[:]
    graph.node.extend(reversed(kept))


def real_logits(output: Array, texts: dict[str, str]) -> Array:
    """Return the logits that an integer output stands for, given what the file says of itself."""
    if output.dtype != numpy.uint8:
        return output
    scale, zero = float(texts["output_scale"]), int(texts["output_zero"])
    return (output.astype(numpy.float32) - zero) * numpy.float32(scale)
