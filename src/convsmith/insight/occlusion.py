"""Occlusion: how much a class loses when a window of the image is covered."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from convsmith.insight.unchanged import unchanged

__all__ = ["occlusion"]


def occlusion(
    model: nn.Module,
    images: Tensor,
    targets: Tensor,
    *,
    window: int | None = None,
    stride: int | None = None,
    baseline: float | Tensor = 0.0,
) -> Tensor:
    """Return ``(N, H, W)``: the logit's mean fall over the windows that cover a place.

    It is below 0 where covering helps the class. One pass through the network for each place of the
    window. Source: Zeiler & Fergus, "Visualizing and Understanding Convolutional Networks", 2014.

    Args:
        model: the network.
        images: ``(N, C, H, W)``, normalised.
        targets: ``(N,)`` int64, the class to explain in each.
        window: the side in pixels; None is a quarter of the image's shorter side.
        stride: pixels from window to window; None is half a window. The last one ends at the edge.
        baseline: what is put there, of a shape that broadcasts to ``images``; 0 is the mean of the
            training images.
    """
    height, width = images.shape[2:]
    window = max(1, min(height, width) // 4) if window is None else min(window, height, width)
    stride = max(1, window // 2) if stride is None else stride
    with unchanged(model), torch.no_grad():
        images = images.clone()
        cover = torch.as_tensor(baseline, dtype=images.dtype, device=images.device)
        cover = cover.expand_as(images)
        whole = model(images).gather(1, targets[:, None]).float()
        falls = whole.new_zeros(len(images), height, width)
        counts = whole.new_zeros(height, width)
        for top in starts(height, window, stride):
            for left in starts(width, window, stride):
                place = (..., slice(top, top + window), slice(left, left + window))
                covered = images.clone()
                covered[place] = cover[place]
                falls[place] += (whole - model(covered).gather(1, targets[:, None]))[:, None]
                counts[place] += 1
        maps: Tensor = falls / counts.clamp(min=1)  # a stride beyond the window leaves gaps
        return maps


def starts(length: int, window: int, stride: int) -> Iterator[int]:
    """Yield where windows begin, such that the last one ends at the edge."""
    yield from range(0, length - window, stride)
    yield length - window
