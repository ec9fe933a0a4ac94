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
        pixels = images.pixels
        means, stds = [], []
        for channel in range(images.channels):
            values = pixels[:, channel]
            if pixels.dtype == torch.uint8:  # exact, from the histogram
                counts = torch.bincount(values.flatten(), minlength=256).double()
                levels = torch.arange(256, dtype=torch.float64) / 255
                mean = float((counts * levels).sum() / counts.sum())
                variance = float((counts * (levels - mean) ** 2).sum() / counts.sum())
            else:
                mean = float(values.double().mean())
                variance = float(values.double().var(correction=0))
            means.append(mean)
            stds.append(variance**0.5 or 1.0)
        return cls(tuple(means), tuple(stds), 255.0 if pixels.dtype == torch.uint8 else 1.0)

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
