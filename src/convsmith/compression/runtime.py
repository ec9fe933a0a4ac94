"""Running ONNX networks on the processor, and reading what ONNX Runtime made of them."""

import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from convsmith.exporting.libraries import require

__all__ = ["executed", "integer_layers", "session"]

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
    onnx = require("onnx")
    with tempfile.TemporaryDirectory() as place:
        kept = Path(place) / "executed.onnx"
        session(model, threads, keep=kept)
        return Counter(node.op_type for node in onnx.load(kept).graph.node)


def integer_layers(operations: Counter[str]) -> int:
    """Return how many of the executed operations are layers with integer weights."""
    return sum(operations[kind] for kind in INTEGER_LAYERS)
