"""Scaling images to mean 0 and deviation 1 by the constants of the training part."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Self

import torch
from torch import Tensor

from convsmith.data.images import Images

__all__ = ["Normalise"]


@dataclass(frozen=True)
class Normalise:
    """``(values / scale - mean) / std`` by channel; ``scale`` is 255 for images, 1 for points."""

    mean: tuple[float, ...]
    std: tuple[float, ...]
    scale: float = 255.0

    @classmethod
    def measure(cls, images: Images) -> Self:
        """Return the means and deviations of the channels over all images and pixels.

        A channel that never changes gets deviation 1.
        """
        if images.pixels.dtype != torch.uint8:
            values = images.take(slice(None))[0].double()
            variances = values.var((0, 2, 3), correction=0).tolist()
            stds = tuple(variance**0.5 or 1.0 for variance in variances)
            return cls(tuple(values.mean((0, 2, 3)).tolist()), stds, 1.0)
        means, deviations = [], []
        levels = torch.arange(256, dtype=torch.float64) / 255
        for counts in histograms(images):  # exact
            mean = float((counts * levels).sum() / counts.sum())
            variance = float((counts * (levels - mean) ** 2).sum() / counts.sum())
            means.append(mean)
            deviations.append(variance**0.5 or 1.0)
        return cls(tuple(means), tuple(deviations))

    def __call__(
        self, pixels: Tensor, memory_format: torch.memory_format = torch.contiguous_format
    ) -> Tensor:
        """Return ``(N, C, H, W)`` float32 in ``memory_format``.

        Args:
            pixels: images as uint8, or what augmentation made of it: float32 from 0 to 255;
                or points.
            memory_format: of the result.
        """
        _, _, height, width = pixels.shape
        mean, factor = constants(self, height * width, pixels.device)
        by_place = pixels.permute(0, 2, 3, 1)
        values = by_place.to(torch.float32, copy=True, memory_format=torch.contiguous_format)
        values.flatten(1).sub_(mean).mul_(factor)  # long rows: no broadcasting over 3
        return values.permute(0, 3, 1, 2).contiguous(memory_format=memory_format)


@lru_cache(maxsize=64)
def constants(normalise: Normalise, places: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return what is subtracted from, and multiplied with, the values ``(places * C,)``."""
    with torch.inference_mode(mode=False):  # they outlive the evaluation that may ask for them
        mean = torch.tensor(normalise.mean, device=device) * normalise.scale
        factor = 1 / (torch.tensor(normalise.std, device=device) * normalise.scale)
        return mean.repeat(places), factor.repeat(places)


def histograms(images: Images) -> Tensor:
    """Return ``(C, 256)`` counts of the values of every channel, a few images at a time."""
    counts = torch.zeros(images.channels, 256, dtype=torch.float64)
    offsets = 256 * torch.arange(images.channels)[:, None, None]
    for start in range(0, len(images), 512):
        pixels = images.take(slice(start, start + 512))[0] + offsets
        counts += torch.bincount(pixels.flatten(), minlength=counts.numel()).view_as(counts)
    return counts
