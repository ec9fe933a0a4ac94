"""Images in memory, and data sets made of them."""

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Images", "Source"]


@dataclass(frozen=True)
class Images:
    """Labelled images held as one tensor.

    ``pixels`` is ``(N, C, H, W)`` uint8; points (moons, circles) are ``(N, 2, 1, 1)`` float32.
    ``labels`` is ``(N,)`` int64.
    """

    pixels: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def channels(self) -> int:
        """Return the number of channels."""
        return self.pixels.shape[1]

    @property
    def image_size(self) -> tuple[int, int]:
        """Return (height, width) in pixels."""
        return self.pixels.shape[2], self.pixels.shape[3]

    def select(self, indices: Tensor) -> "Images":
        """Return the images at ``indices``, copied."""
        return Images(self.pixels[indices], self.labels[indices])

    def to(self, device: torch.device) -> "Images":
        """Return the images on ``device``."""
        return Images(self.pixels.to(device), self.labels.to(device))


@dataclass(frozen=True)
class Source:
    """A data set with its official parts.

    ``mirrored`` says whether an image keeps its label when it is flipped left to right.
    """

    name: str
    classes: tuple[str, ...]
    train: Images
    test: Images
    mirrored: bool
