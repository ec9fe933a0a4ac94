"""Writing a network as TorchScript, which PyTorch has given up: for programs that are older."""

import json
import warnings
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn
from torch.jit import TracerWarning  # type: ignore[attr-defined]

from convsmith.errors import ModelError
from convsmith.exporting.files import replacing
from convsmith.exporting.graph import Input, deployed, reason
from convsmith.exporting.pt2 import TEXTS

__all__ = ["to_torchscript"]


def to_torchscript(network: nn.Module, given: Input, path: Path, texts: Mapping[str, str]) -> None:
    """Trace a network and write it as TorchScript, with texts of what it is; it is not changed.

    Raises:
        ModelError: it cannot be traced.
        WriteError: the file cannot be written.
    """
    with deployed(network, given) as module, torch.no_grad(), warnings.catch_warnings():
        for kind in (DeprecationWarning, FutureWarning):  # TorchScript as a whole
            warnings.filterwarnings("ignore", category=kind)
        # A shape that is compared becomes a constant: verifying at other sizes finds it out.
        warnings.filterwarnings("ignore", category=TracerWarning)
        try:
            traced = torch.jit.trace(module, given.example(), check_trace=False)
        except RuntimeError as error:
            raise ModelError(f"TorchScript cannot trace this network: {reason(error)}") from error
        with replacing(path) as draft:
            traced.save(str(draft), _extra_files={TEXTS: json.dumps(dict(texts))})
