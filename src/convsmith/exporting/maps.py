"""Class activation maps as a second output, for heads of global average pooling and a linear layer.

There, the logits are the means over all places of what the head makes of the features at each of
them. Source: Zhou et al., "Learning Deep Features for Discriminative Localization", 2016.
"""

from typing import Any

import numpy

from convsmith.exporting.libraries import require

__all__ = ["MAPS", "add_maps"]

MAPS = "maps"
PASSED = ("Reshape", "Flatten", "Squeeze", "Identity", "Dropout")  # between pooling and head


def add_maps(proto: Any) -> bool:
    """Add the output ``maps`` ``(batch_size, classes, h, w)`` to an ONNX model.

    Returns:
        Whether its head is such that there are maps; otherwise the model stays as it is.
    """
    helper = require("onnx").helper
    graph = proto.graph
    makers = {output: node for node in graph.node for output in node.output}
    head = makers.get(graph.output[0].name)
    features = pooled_by(graph, makers, head)
    if head is None or features is None:
        return False
    weights = next((each for each in graph.initializer if each.name == head.input[1]), None)
    if weights is None:
        return False
    classes, channels = weights.dims
    shape = numpy.array([classes, channels, 1, 1], numpy.int64)
    graph.initializer.append(require("onnx").numpy_helper.from_array(shape, "maps_shape"))
    graph.node.extend(
        [
            helper.make_node("Reshape", [weights.name, "maps_shape"], ["maps_weight"], "maps_1"),
            helper.make_node("Conv", [features, "maps_weight"], [MAPS], "maps_2"),
        ]
    )
    dims = ["batch_size", classes, None, None]
    kind = require("onnx").TensorProto.FLOAT
    graph.output.append(helper.make_tensor_value_info(MAPS, kind, dims))
    return True


def pooled_by(graph: Any, makers: dict[str, Any], head: Any) -> str | None:
    """Return the name of the features ``(N, C, h, w)`` whose means the head takes, if it does."""
    if head is None or head.op_type != "Gemm":
        return None
    options = {each.name: each for each in head.attribute}
    transposed = "transB" in options and options["transB"].i == 1
    scaled = "alpha" in options and options["alpha"].f != 1
    if not transposed or scaled or ("transA" in options and options["transA"].i):
        return None
    node = makers.get(head.input[0])
    while node is not None and node.op_type in PASSED:
        node = makers.get(node.input[0])
    if node is None:
        return None
    if node.op_type == "GlobalAveragePool":
        return str(node.input[0])
    if node.op_type == "ReduceMean" and len(node.input) == 2:
        axes = next((each for each in graph.initializer if each.name == node.input[1]), None)
        if axes is not None and sorted(axes_of(axes)) in ([2, 3], [-2, -1]):
            return str(node.input[0])
    return None


def axes_of(tensor: Any) -> list[int]:
    """Return the dimensions that an initializer lists."""
    values: list[int] = require("onnx").numpy_helper.to_array(tensor).reshape(-1).tolist()
    return values
