"""Running ONNX networks on the processor, and reading what ONNX Runtime made of them."""

import tempfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from convsmith.compression.layers import attributes, layers_of, sole_clamp, users_of
from convsmith.exporting.libraries import require

__all__ = ["executed", "integer_layers", "joined", "kinds", "session"]

# What integer convolutions and linear layers are called in ONNX Runtime.
INTEGER_LAYERS = (
    *("QLinearConv", "ConvInteger", "QGemm", "QLinearMatMul", "MatMulInteger"),
    *("MatMulIntegerToFloat", "DynamicQuantizeMatMul"),
)


def session(model: bytes | str, threads: int, *, keep: Path | None = None) -> Any:
    """Load an ONNX model or file; ``keep`` is where to write what ONNX Runtime made of it."""
    runtime = require("onnxruntime")
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = threads
    # Threads that wait by turning in circles would take the processor from what is measured next.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    if keep is not None:
        options.optimized_model_filepath = str(keep)
    return runtime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def executed(proto: Any) -> list[Any]:
    """Return the operations that ONNX Runtime executes for a model, in its order."""
    with tempfile.TemporaryDirectory() as place:
        kept = Path(place) / "executed.onnx"
        session(proto.SerializeToString(), 1, keep=kept)
        return list(require("onnx").load(kept).graph.node)


def kinds(nodes: Iterable[Any]) -> Counter[str]:
    """Return how many operations there are of each kind."""
    return Counter(node.op_type for node in nodes)


def integer_layers(nodes: Iterable[Any]) -> int:
    """Return how many of the executed operations are layers with integer weights."""
    found = kinds(nodes)
    return sum(found[kind] for kind in INTEGER_LAYERS)


def joined(proto: Any) -> dict[str, tuple[str, ...]]:
    """Return what ONNX Runtime does in one go with each layer of real numbers: sum, activation.

    It gives weights other names; what is left of a layer is the name of its output.
    """
    users = users_of(proto.graph)
    layers: dict[str, str] = {}
    for layer in layers_of(proto.graph):
        clamp = sole_clamp(layer.node, users)
        for node in filter(None, [layer.node, clamp]):
            layers[node.output[0]] = layer.name
    found = {}
    for node in executed(proto):
        name = node.name.removesuffix("_nchwc") if "nchwc" in node.domain else node.output[0]
        if name in layers and len(node.input) > 1:
            activation = attributes(node).get("activation", b"").decode().lower()
            has_sum = ["sum"] if len(node.input) > 3 else []
            found[layers[name]] = (*has_sum, *([activation] if activation else []))
    return found
