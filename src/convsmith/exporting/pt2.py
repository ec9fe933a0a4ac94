"""Writing a network as ``.pt2``, for programs that have PyTorch."""

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from torch.export import ExportedProgram

from convsmith.exporting.files import replacing

__all__ = ["TEXTS", "program_to_pt2"]

TEXTS = "convsmith.json"  # what the file says of itself, among its extra files


def program_to_pt2(program: ExportedProgram, path: Path, texts: Mapping[str, str]) -> None:
    """Write what ``torch.export`` made of a network, with texts of what it is.

    ``torch.export.load(path).module()`` takes uint8 images ``(N, C, H, W)``. Loading such a file
    can execute code, so convsmith reads none but those it has just written, to verify them.

    Raises:
        WriteError: the file cannot be written.
    """
    with replacing(path) as draft:
        torch.export.save(program, draft, extra_files={TEXTS: json.dumps(dict(texts))})
