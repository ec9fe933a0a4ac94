"""What runs a network, by engine: PyTorch as it is, folded or compiled, ONNX Runtime, OpenVINO."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
from numpy.typing import NDArray

from convsmith.compression.runtime import session
from convsmith.errors import UserError
from convsmith.exporting.libraries import require, require_installed

__all__ = ["ENGINES", "Runner", "has_compiler", "onnx_engine", "torch_engine"]

Runner = Callable[[NDArray[numpy.uint8]], object]
"""Takes images ``(N, C, H, W)`` uint8; returns when the logits are there."""

# name -> what it is, for a person
ENGINES = {
    "eager": "PyTorch, fp32",
    "bf16": "PyTorch, BatchNorm folded, bf16, channels_last",
    "compiled": "PyTorch, BatchNorm folded, fp32, torch.compile",
    "onnxruntime": "ONNX Runtime",
    "openvino": "OpenVINO",
}


def has_compiler() -> bool:
    """Return whether there is a C++ compiler, which torch.compile needs on a processor."""
    return any(shutil.which(name) for name in ("g++", "c++", "clang++"))


def torch_engine(kind: str, network: Any, given: Any, threads: int) -> Runner:
    """Return what runs a network of PyTorch, which is changed.

    Args:
        kind: ``eager``, ``bf16`` or ``compiled``.
        network: the module; ``given`` what images it takes, an ``exporting.graph.Input``.
        given: see there.
        threads: how many it uses.
    """
    import torch

    from convsmith.compression.fuse import fuse
    from convsmith.compression.measure import torch_runner

    torch.set_num_threads(threads)
    network = network.eval()
    if kind == "eager":
        return torch_runner(network, given)
    folded = fuse(network, torch.zeros(2, given.channels, *given.image_size)).model
    if kind == "bf16":
        folded = folded.to(torch.bfloat16).to(memory_format=torch.channels_last)
        return torch_runner(folded, given, torch.bfloat16, torch.channels_last)
    folded = folded.to(memory_format=torch.channels_last)
    folded.compile(dynamic=True)
    return torch_runner(folded, given, torch.float32, torch.channels_last)


def onnx_engine(kind: str, file: Path, threads: int) -> Runner:
    """Return what runs an ONNX file that takes ``input`` and gives ``output``.

    Raises:
        UserError: the engine is not installed, or does not take the file.
    """
    require_installed(kind)
    try:
        make = onnx_runtime if kind == "onnxruntime" else openvino
        return make(file, threads)
    except Exception as error:  # both have many kinds of errors
        line = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"{ENGINES[kind]} does not take {file}: {line[:200]}") from error


def onnx_runtime(file: Path, threads: int) -> Runner:
    """Return what runs an ONNX file in ONNX Runtime."""
    running = session(str(file), threads)
    name = running.get_inputs()[0].name
    return lambda images: running.run(None, {name: images})


def openvino(file: Path, threads: int) -> Runner:
    """Return what runs an ONNX file in OpenVINO, one request at a time.

    By itself it would compute fp32 networks in bf16 where the processor can.
    """
    properties = {
        "INFERENCE_NUM_THREADS": threads,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32",
    }
    compiled: Runner = require("openvino").Core().compile_model(str(file), "CPU", properties)
    return compiled
