"""Maps as pictures: in colours, and laid over the image that they explain."""

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["colours", "enlarge", "overlay", "strength"]

# Red, green and blue at equal distances; brightness rises steadily (matplotlib's inferno).
RISING = ((0, 0, 4), (66, 10, 104), (147, 38, 103), (221, 81, 58), (252, 165, 10), (252, 255, 164))
# Against the class, nothing, for it; told apart by the colour-blind too (ColorBrewer's RdBu).
BOTH = ((33, 102, 172), (146, 197, 222), (247, 247, 247), (244, 165, 130), (178, 24, 43))
MOST = 0.8  # of the colour where the map is strongest; the image is always seen through it


def strength(map_: Tensor) -> Tensor:
    """Return a map ``(H, W)`` from -1 to 1, where 0 stays 0; a map of zeros stays one.

    The strongest hundredth of the places counts as equally strong: one pixel would pale the rest.
    """
    map_ = map_.float().nan_to_num()
    sizes = map_.abs().flatten()
    largest = sizes.sort().values[int(0.99 * (len(sizes) - 1))]
    if largest == 0:
        largest = sizes.max()
    return (map_ / largest).clamp(-1, 1) if largest > 0 else torch.zeros_like(map_)


def colours(map_: Tensor) -> Tensor:
    """Return a map ``(H, W)`` as ``(3, H, W)`` uint8.

    From black over red to yellow where nothing is negative; else from blue over white to red, with
    white at 0.
    """
    value = strength(map_)
    if float(value.min()) < 0:
        return paint((value + 1) / 2, BOTH)
    return paint(value, RISING)


def overlay(pixels: Tensor, map_: Tensor) -> Tensor:
    """Return an image with its map over it, ``(3, H, W)`` uint8: the stronger, the less image.

    Args:
        pixels: ``(C, H, W)`` uint8; other than three channels are shown by the first.
        map_: ``(H, W)``.
    """
    image = (pixels if len(pixels) == 3 else pixels[:1].expand(3, -1, -1)).float()
    share = MOST * strength(map_).abs()
    return (image * (1 - share) + colours(map_).float() * share).round().to(torch.uint8)


def enlarge(
    pixels: Tensor, map_: Tensor, side: int, *, smooth: bool = False
) -> tuple[Tensor, Tensor]:
    """Return a small image with sharp pixels, and its map, several times as large.

    Args:
        pixels: ``(C, H, W)`` uint8.
        map_: ``(H, W)``.
        side: the longer side is made a whole multiple, as large as goes into so many pixels.
        smooth: go from place to place of the map gradually; else its pixels are sharp as well.
    """
    times = max(1, side // max(pixels.shape[1:]))
    large = pixels.repeat_interleave(times, 1).repeat_interleave(times, 2)
    if not smooth:
        return large, map_.repeat_interleave(times, 0).repeat_interleave(times, 1)
    size = (large.shape[1], large.shape[2])
    between = functional.interpolate(map_[None, None], size, mode="bilinear", align_corners=False)
    return large, between[0, 0]


def paint(values: Tensor, stops: tuple[tuple[int, int, int], ...]) -> Tensor:
    """Return values from 0 to 1 as colours between ``stops``."""
    table = torch.tensor(stops, dtype=torch.float32, device=values.device)
    place = values.clamp(0, 1) * (len(stops) - 1)
    lower = place.floor().long().clamp(max=len(stops) - 2)
    share = (place - lower)[..., None]
    mixed = table[lower] * (1 - share) + table[lower + 1] * share
    return mixed.round().to(torch.uint8).permute(2, 0, 1)
