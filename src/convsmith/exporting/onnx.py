"""Writing a network as an ONNX file, by the exporter that builds on ``torch.export``."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.export import ExportedProgram

from convsmith.errors import ModelError, UserError
from convsmith.exporting.files import write_whole
from convsmith.exporting.graph import Input, reason, to_program
from convsmith.exporting.libraries import require, require_installed
from convsmith.exporting.maps import MAPS, add_maps

__all__ = ["OPSET", "OnnxFile", "program_to_onnx", "to_onnx"]

OPSET = 20


@dataclass(frozen=True)
class OnnxFile:
    """An ONNX file: what it needs, and the name of its class activation maps if it has them."""

    path: Path
    opset: int
    maps: str | None


def to_onnx(
    network: nn.Module, given: Input, path: Path, texts: Mapping[str, str] | None = None
) -> OnnxFile:
    """Write a network that takes uint8 images, preprocessing included.

    The input ``input`` is ``(batch_size, C, H, W)`` uint8, the output ``output`` is ``(batch_size,
    classes)`` float32. A network that ends in global average pooling and a linear layer has a
    second output ``maps``. The network is not changed.

    Args:
        network: maps normalised images to logits.
        given: size, channels and normalisation of its images.
        path: the file, which is replaced.
        texts: what the file says of itself.

    Raises:
        UserError: onnx or onnxscript is missing, or the network is larger than an ONNX file can be.
        ModelError: the network does something that has no graph, or that ONNX has not.
        WriteError: the file cannot be written.
    """
    require_installed("onnx", "onnxscript")
    return program_to_onnx(to_program(network, given), path, texts)


def program_to_onnx(
    program: ExportedProgram, path: Path, texts: Mapping[str, str] | None = None
) -> OnnxFile:
    """Write what ``torch.export`` made of a network that takes uint8 images, as an ONNX file.

    Raises:
        UserError: onnx or onnxscript is missing, or the network is larger than an ONNX file can be.
        ModelError: ONNX has not all operations of the network.
        WriteError: the file cannot be written.
    """
    require_installed("onnx", "onnxscript")
    proto = converted(program)
    strip(proto)
    name_batch(proto)
    maps = MAPS if add_maps(proto) else None
    require("onnx").helper.set_model_props(proto, dict(texts or {}))
    try:
        content = proto.SerializeToString()
    except ValueError as error:  # protobuf's limit
        raise UserError("the network is larger than an ONNX file can be: 2 GiB") from error
    write_whole(path, content)
    return OnnxFile(path, OPSET, maps)


def converted(program: ExportedProgram) -> Any:
    """Return the exporter's ONNX model.

    Raises:
        ModelError: ONNX has not all operations of the network.
    """
    with warnings.catch_warnings():
        # The exporter's own uses of what torch deprecates; what it cannot do, it raises.
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        warnings.filterwarnings("ignore", category=FutureWarning)
        try:
            made = torch.onnx.export(
                program,
                dynamo=True,
                input_names=["input"],
                output_names=["output"],
                opset_version=OPSET,
                external_data=False,
                verbose=False,
            )
        except torch.onnx.OnnxExporterError as error:
            raise ModelError(f"this network cannot become ONNX: {reason(error)}") from error
    assert made is not None  # it is only without dynamo
    return made.model_proto


def strip(proto: Any) -> None:
    """Remove what the exporter notes of where things came from: lines of source, paths, shapes."""
    graph = proto.graph
    del graph.value_info[:]
    for each in (graph, *graph.node, *graph.input, *graph.output, *graph.initializer):
        del each.metadata_props[:]
        each.doc_string = ""


def name_batch(proto: Any) -> None:
    """Call the number of images ``batch_size``, which the exporter numbers."""
    for each in (*proto.graph.input, *proto.graph.output):
        each.type.tensor_type.shape.dim[0].dim_param = "batch_size"
