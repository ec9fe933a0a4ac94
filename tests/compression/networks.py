"""Small ONNX networks, made by hand or exported, and images for them."""

import numpy
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

from convsmith.compression.fuse import fuse
from convsmith.compression.runtime import session
from convsmith.exporting.graph import Input
from convsmith.exporting.onnx import to_onnx

MEAN, STD = (0.49, 0.44, 0.36), (0.25, 0.22, 0.3)


def images(count, channels, size, seed=0):
    draw = numpy.random.default_rng(seed)
    return draw.integers(0, 256, (count, channels, size, size), dtype=numpy.uint8)


def input_of(channels, size, mean=MEAN):
    return Input(channels, (size, size), mean[:channels], STD[:channels])


def exported(network, channels, size, folder):
    """A network folded and exported as `compress` does it."""
    folded = fuse(network, torch.zeros(2, channels, size, size)).model
    to_onnx(folded, input_of(channels, size), folder / "network.onnx")
    return onnx.load(folder / "network.onnx")


def one_layer(weight, bias=None, **options):
    """A convolution, or with two dimensions a linear layer, of real numbers."""
    kind = "Conv" if weight.ndim == 4 else "Gemm"
    options = options if kind == "Conv" else {"transB": 1}
    tensors = [numpy_helper.from_array(weight.astype(numpy.float32), "layer.weight")]
    inputs = ["input", "layer.weight"]
    if bias is not None:
        tensors.append(numpy_helper.from_array(bias.astype(numpy.float32), "layer.bias"))
        inputs.append("layer.bias")
    shape = [None] * weight.ndim
    graph = helper.make_graph(
        [helper.make_node(kind, inputs, ["output"], "layer", **options)],
        "one",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, shape)],
        tensors,
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(made, full_check=True)
    return made


def run(proto, given):
    """What ONNX Runtime says, of a model that is valid."""
    onnx.checker.check_model(proto, full_check=True)
    return session(proto.SerializeToString(), 2).run(["output"], {"input": given})[0]
