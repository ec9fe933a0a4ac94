"""A trained network made ready to become smaller: folded, in PyTorch and as ONNX."""

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from convsmith.compression.fuse import Fused, FusedLayer, fuse
from convsmith.compression.runtime import joined
from convsmith.exporting.graph import Input
from convsmith.exporting.libraries import require
from convsmith.exporting.onnx import to_onnx

__all__ = ["Folded", "folded", "no_images", "to_proto"]


@dataclass(frozen=True)
class Folded:
    """A network, itself with its normalisations folded, and ``proto``, the ONNX model of that."""

    network: nn.Module
    given: Input
    fused: Fused
    proto: Any

    def layers(self) -> tuple[FusedLayer, ...]:
        """Return the network's layers, what was folded and what ONNX Runtime does in one go."""
        done = joined(self.proto)
        return tuple(replace(each, joined=done.get(each.name, ())) for each in self.fused.layers)


def folded(network: nn.Module, given: Input) -> Folded:
    """Fold a network, which stays as it is; no image is needed.

    Raises:
        ModelError: the network's graph cannot be followed.
    """
    fused = fuse(network, no_images(given))
    return Folded(network, given, fused, to_proto(fused.model, given))


def no_images(given: Input) -> Tensor:
    """Return two images as the network takes them: normalised, here to nothing."""
    return torch.zeros(2, given.channels, *given.image_size)


def to_proto(network: nn.Module, given: Input) -> Any:
    """Return a network as an ONNX model of uint8 images."""
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "model.onnx"
        to_onnx(network, given, path)
        return require("onnx").load(path)
