"""Scaling images to mean 0 and deviation 1 by the constants of the training part."""

from dataclasses import dataclass
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
        mean = torch.tensor(self.mean, device=pixels.device) * self.scale
        factor = 1 / (torch.tensor(self.std, device=pixels.device) * self.scale)
        result = pixels.to(torch.float32, memory_format=memory_format)
        if result is pixels:
            result = pixels.clone(memory_format=memory_format)
        return result.sub_(mean[:, None, None]).mul_(factor[:, None, None])


def histograms(images: Images) -> Tensor:
    """Return ``(C, 256)`` counts of the values of every channel, a few images at a time."""
    counts = torch.zeros(images.channels, 256, dtype=torch.float64)
    offsets = 256 * torch.arange(images.channels)[:, None, None]
    for start in range(0, len(images), 512):
        pixels = images.take(slice(start, start + 512))[0] + offsets
        counts += torch.bincount(pixels.flatten(), minlength=counts.numel()).view_as(counts)
    return counts
