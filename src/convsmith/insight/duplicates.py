"""Images that are nearly the same, by small standardised copies of them."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["Copies", "fingerprints", "near_copies"]

SIDE = 16  # pixels of the small copy
BLOCK = 2048  # images compared at a time


@dataclass(frozen=True)
class Copies:
    """For each image of a first part: its likest of a second one, and how like it is.

    ``likest`` ``(N,)`` int64 and ``likeness`` ``(N,)`` float32, a correlation: 1 is the same but
    for brightness and contrast.
    """

    likest: Tensor
    likeness: Tensor


def fingerprints(pixels: Tensor) -> Tensor:
    """Return ``(N, 256)`` float32 of unit length for ``(N, C, H, W)`` uint8 images.

    An image is made grey and 16x16 small, and its mean is taken away, so that changes of
    brightness, contrast and compression hardly matter. One without any contrast is all zeros, and
    like no other. (Hashes of 64 bits were tried: images that are mostly empty share them.)
    """
    small = functional.interpolate(
        pixels.float().mean(1, keepdim=True), (SIDE, SIDE), mode="area"
    ).flatten(1)
    small = small - small.mean(1, keepdim=True)
    return functional.normalize(small, eps=1e-3)


def near_copies(images: Tensor, among: Tensor) -> Copies:
    """Return the likest of ``among`` for each of ``images``, both fingerprints ``(N, 256)``."""
    likest, likeness = [], []
    for block in images.split(BLOCK):
        best = torch.full((len(block),), -1.0)
        at = torch.zeros(len(block), dtype=torch.int64)
        for start in range(0, len(among), BLOCK):
            value, index = (block @ among[start : start + BLOCK].T).max(1)
            better = value > best
            best = torch.where(better, value, best)
            at = torch.where(better, index + start, at)
        likest.append(at)
        likeness.append(best)
    return Copies(torch.cat(likest), torch.cat(likeness))
