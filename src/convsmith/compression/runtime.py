"""Running ONNX networks on the processor, and reading what ONNX Runtime made of them."""

import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from convsmith.compression.layers import attributes
from convsmith.exporting.libraries import require

__all__ = ["executed", "integer_layers", "joined", "session"]

# What integer convolutions and linear layers are called in ONNX Runtime.
INTEGER_LAYERS = (
    *("QLinearConv", "ConvInteger", "QGemm", "QLinearMatMul", "MatMulInteger"),
    *("MatMulIntegerToFloat", "DynamicQuantizeMatMul"),
)


def session(model: bytes, threads: int, *, keep: Path | None = None) -> Any:
    """Load an ONNX model; ``keep`` is where to write what ONNX Runtime made of it."""
    runtime = require("onnxruntime")
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = threads
    # Threads that wait by turning in circles would take the processor from what is measured next.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    if keep is not None:
        options.optimized_model_filepath = str(keep)
    return runtime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def executed(model: bytes, threads: int = 1) -> Counter[str]:
    """Return how many operations of each kind ONNX Runtime executes for a model."""
    return Counter(node.op_type for node in executed_nodes(model, threads))


def executed_nodes(model: bytes, threads: int = 1) -> list[Any]:
    """Return the operations that ONNX Runtime executes for a model, in its order."""
    with tempfile.TemporaryDirectory() as place:
        kept = Path(place) / "executed.onnx"
        session(model, threads, keep=kept)
        return list(require("onnx").load(kept).graph.node)


def joined(model: bytes) -> dict[str, tuple[str, ...]]:
    """Return what ONNX Runtime does in one go with each layer that has a bias: sum, activation.

    It names convolutions anew and reorders their weights; by their biases they are known.
    """
    found = {}
    for node in executed_nodes(model):
        if len(node.input) > 2 and node.op_type in ("Conv", "FusedConv", "Gemm", "FusedGemm"):
            name = node.input[2].removeprefix("network.").removesuffix(".bias")
            activation = attributes(node).get("activation", b"").decode().lower()
            has_sum = ["sum"] if len(node.input) > 3 else []
            found[name] = (*has_sum, *([activation] if activation else []))
    return found


def integer_layers(operations: Counter[str]) -> int:
    """Return how many of the executed operations are layers with integer weights."""
    return sum(operations[kind] for kind in INTEGER_LAYERS)
