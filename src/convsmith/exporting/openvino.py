"""Writing a network for OpenVINO: a graph in ``.xml`` and its weights in ``.bin``."""

from collections.abc import Mapping
from pathlib import Path

from convsmith.errors import WriteError
from convsmith.exporting.libraries import require

__all__ = ["onnx_to_openvino"]


def onnx_to_openvino(onnx_file: Path, path: Path, texts: Mapping[str, str]) -> None:
    """Convert an ONNX file to ``path`` (``.xml``) and the ``.bin`` beside it.

    Weights stay as they are: OpenVINO would store them in 16 bits.

    Raises:
        UserError: OpenVINO is not installed.
        WriteError: the files cannot be written.
    """
    openvino = require("openvino")
    model = openvino.convert_model(str(onnx_file))
    for key, text in texts.items():
        model.set_rt_info(text, ["convsmith", key])
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        openvino.save_model(model, str(path), compress_to_fp16=False)
    except (OSError, RuntimeError) as error:  # OpenVINO raises RuntimeError for a full disk
        raise WriteError(f"{path} cannot be written: {error}") from error
