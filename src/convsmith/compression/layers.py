"""Which parts of an ONNX network become integers: its layers, and the activations between them."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from convsmith.errors import UserError, did_you_mean
from convsmith.exporting.libraries import require

__all__ = [
    "LEVELS",
    "OUTPUT",
    "Layer",
    "activations",
    "attributes",
    "constants",
    "copied",
    "integer_nodes",
    "layer_name",
    "layers_of",
    "pooled_globally",
    "require_layers",
    "sole_clamp",
    "users_of",
]

Array = NDArray[Any]

WEIGHTED = ("Conv", "Gemm", "MatMul")
INTEGER = ("Add", "Mul", "Concat", "AveragePool", "GlobalAveragePool")
SAME_SCALE = ("MaxPool", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose")
CLAMPS = ("Relu", "Clip")  # the integer's own ends do what they do
OUTPUT = "output"
LEVELS = "levels"  # of the image, from 0 to 255: they are integers already


@dataclass(frozen=True)
class Layer:
    """A node with constant weights, and the dimension of them that is its output's channels."""

    name: str
    node: Any
    weight: str
    axis: int


def copied(proto: Any) -> Any:
    """Return a copy of an ONNX model."""
    made = require("onnx").ModelProto()
    made.CopyFrom(proto)
    return made


def constants(graph: Any) -> dict[str, Array]:
    """Return the initializers of a graph by name."""
    to_array = require("onnx").numpy_helper.to_array
    return {each.name: to_array(each) for each in graph.initializer}


def attributes(node: Any) -> dict[str, Any]:
    """Return the attributes of a node by name."""
    value = require("onnx").helper.get_attribute_value
    return {each.name: value(each) for each in node.attribute}


def layers_of(graph: Any, kinds: Collection[str] = WEIGHTED) -> list[Layer]:
    """Return the layers that ``output`` depends on, in order, called as in the network."""
    known = {each.name: each.dims for each in graph.initializer}
    wanted = upstream(graph, OUTPUT)
    found = []
    for node in graph.node:
        if node.op_type not in kinds or node.output[0] not in wanted or node.input[1] not in known:
            continue
        if node.op_type == "Gemm" and not plain_gemm(node):
            continue
        if node.op_type == "MatMul" and len(known[node.input[1]]) != 2:
            continue
        across = node.op_type == "MatMul" or (
            node.op_type == "Gemm" and not attributes(node).get("transB")
        )
        grouped = node.op_type == "ConvTranspose" and attributes(node).get("group", 1) > 1
        axis = 1 if across or (node.op_type == "ConvTranspose" and not grouped) else 0
        found.append(Layer(layer_name(node.input[1]), node, node.input[1], axis))
    return found


def layer_name(weight: str) -> str:
    """Return what a layer is called in the network, given the name of its weight in the file."""
    return weight.removeprefix("network.").removesuffix(".weight")


def plain_gemm(node: Any) -> bool:
    """Return whether a Gemm is a linear layer: nothing is scaled, the input is not transposed."""
    options = attributes(node)
    return (
        options.get("alpha", 1) == 1 and options.get("beta", 1) == 1 and not options.get("transA")
    )


def require_layers(graph: Any, names: Iterable[str]) -> None:
    """Raise UserError, naming the nearest, if there is no such layer."""
    known = [layer.name for layer in layers_of(graph)]
    for name in names:
        if name not in known:
            hint = did_you_mean(name, known) or f"; there are {', '.join(known)}"
            raise UserError(f"the network has no layer called {name!r}{hint}")


def upstream(graph: Any, output: str) -> set[str]:
    """Return the names of all tensors that one depends on, itself included."""
    found = {output}
    for node in reversed(graph.node):
        if found & set(node.output):
            found |= set(node.input)
    return found


def integer_nodes(
    graph: Any, keep_float: Collection[str] = (), *, between: bool = True
) -> list[Any]:
    """Return the nodes that compute with integers: from the first layer on, without those kept.

    ``between`` is whether sums and means are among them, which have no weights; what a layer that
    is kept goes into stays real too.
    """
    kept = {each.node.output[0] for each in layers_of(graph) if each.name in keep_float}
    layers = {each.node.output[0] for each in layers_of(graph)}
    moved = {e.output[0]: e.input[0] for e in graph.node if e.op_type in SAME_SCALE + CLAMPS}
    wanted, reached, found = upstream(graph, OUTPUT), set[str](), []
    for node in graph.node:
        name = node.output[0]
        if name not in layers and not reached & set(node.input):
            continue  # the preprocessing, before the first layer
        reached |= set(node.output)
        real = any(source_of(each, moved) in kept for each in node.input)
        kind = name in layers or (between and node.op_type in INTEGER and not real)
        if kind and name in wanted and name not in kept:
            found.append(node)
    return found


def activations(graph: Any, chosen: Iterable[Any]) -> dict[str, str]:
    """Return the tensors that nodes take and give as integers, and each one's source of its range.

    That is the tensor itself, or, where only values are moved, the one that they come from.
    """
    fixed = {each.name for each in graph.initializer}
    ends = {each.name for each in graph.output}
    users = users_of(graph)
    moved = {each.output[0]: each.input[0] for each in graph.node if each.op_type in SAME_SCALE}
    found: dict[str, str] = {}
    for node in chosen:
        taken = node.input[:1] if node.op_type in WEIGHTED else node.input
        after = node
        while clamped_by := sole_clamp(after, users):
            after = clamped_by
        for name in [*taken, after.output[0]]:
            if name not in fixed and name not in ends:
                found[name] = source_of(name, moved)
    for node in graph.node:
        if node.op_type in SAME_SCALE and node.input[0] in found and node.output[0] not in ends:
            found[node.output[0]] = found[node.input[0]]
    return found


def source_of(name: str, moved: Mapping[str, str]) -> str:
    """Return the tensor whose values another has, given what only moves values."""
    while name in moved:
        name = moved[name]
    return name


def users_of(graph: Any) -> dict[str, list[Any]]:
    """Return the nodes that take each tensor."""
    found: dict[str, list[Any]] = {}
    for node in graph.node:
        for name in node.input:
            found.setdefault(name, []).append(node)
    return found


def sole_clamp(node: Any, users: dict[str, list[Any]]) -> Any | None:
    """Return the ReLU or Clip that alone takes a node's output, if there is one."""
    after = users.get(node.output[0], [])
    return after[0] if len(after) == 1 and after[0].op_type in CLAMPS else None


def pooled_globally(proto: Any) -> Any:
    """Return a model in which means over all places are global pooling, which integers have."""
    made = copied(proto)
    values = constants(made.graph)
    for node in made.graph.node:
        if node.op_type != "ReduceMean" or len(node.input) != 2 or node.input[1] not in values:
            continue
        axes = sorted(values[node.input[1]].tolist())
        if axes in ([2, 3], [-2, -1]) and attributes(node).get("keepdims", 1):
            node.op_type = "GlobalAveragePool"
            del node.input[1], node.attribute[:]
    return made
