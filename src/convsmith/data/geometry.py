"""Rotating, shifting, scaling and shearing a whole batch, by one resampling.

Every change is a matrix ``(N, 3, 3)`` that maps places in the result to places in the image, both
in coordinates from -1 to 1; one after another is their product.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["affine", "boxes", "crop", "enlarge", "inside", "resample", "shear", "showing"]

LARGE = 64 * 64  # pixels from which a copy an image is quicker than a place a pixel


def affine(
    angles: Tensor, shifts: Tensor, image_size: tuple[int, int], scale: Tensor | None = None
) -> Tensor:
    """Rotate, shift and enlarge, in pixels, whatever the image's proportions.

    Args:
        angles: ``(N,)`` radians.
        shifts: ``(2, N)`` to the right and down; the image is 2 wide and high.
        image_size: (height, width).
        scale: ``(N,)``; 2 shows everything twice as large.
    """
    height, width = image_size
    cos, sin = angles.cos(), angles.sin()
    if scale is not None:
        cos, sin = cos / scale, sin / scale
    first = torch.stack([cos, -sin * height / width, shifts[0]], 1)
    second = torch.stack([sin * width / height, cos, shifts[1]], 1)
    return square(torch.stack([first, second], 1))


def shear(amounts: Tensor, image_size: tuple[int, int]) -> Tensor:
    """Shear ``(2, N)``: rows by pixels a row of (height, width), columns by pixels a column."""
    height, width = image_size
    matrices = torch.eye(3).repeat(amounts.shape[1], 1, 1)
    matrices[:, 0, 1] = amounts[0] * height / width
    matrices[:, 1, 0] = amounts[1] * width / height
    return matrices


def boxes(uniform: Tensor, smallest: float, image_size: tuple[int, int]) -> Tensor:
    """Draw a part of every image, of whole pixels, to be enlarged (Szegedy et al., 2014).

    Args:
        uniform: ``(4, N)`` from 0 to 1: area, proportions, and place.
        smallest: the least share of the area.
        image_size: (height, width).

    Returns:
        ``(N, 4)`` int64: top, left, bottom and right; the last two are not in it.
    """
    whole = torch.tensor(image_size)
    area = smallest + (1 - smallest) * uniform[0]
    ratio = torch.exp((2 * uniform[1] - 1) * math.log(4 / 3))
    shares = torch.stack([(area / ratio).sqrt(), (area * ratio).sqrt()], 1).clamp(max=1)
    sizes = (shares * whole).round().long().clamp(min=1)
    corners = (uniform[[3, 2]].T * (whole - sizes)).round().long()
    return torch.cat([corners, corners + sizes], 1)


def showing(boxes: Tensor, image_size: tuple[int, int]) -> Tensor:
    """Show a box ``(N, 4)`` of every image of (height, width) as the whole."""
    whole = torch.tensor(image_size, device=boxes.device)
    sizes, sums = (boxes[:, 2:] - boxes[:, :2]) / whole, (boxes[:, 2:] + boxes[:, :2]) / whole - 1
    matrices = torch.eye(3, device=boxes.device).repeat(len(boxes), 1, 1)
    matrices[:, 0, 0], matrices[:, 1, 1] = sizes[:, 1], sizes[:, 0]
    matrices[:, 0, 2], matrices[:, 1, 2] = sums[:, 1], sums[:, 0]
    return matrices


def enlarge(pixels: Tensor, boxes: Tensor, flip: Tensor | None = None) -> Tensor:
    """Enlarge a box of every image to the whole, bilinear, and mirror some of the results.

    Beyond a box's edges the edge goes on.

    On the CPU that is done image by image, with PyTorch's vector code for uint8, in a tenth of the
    time of :func:`resample`; on other devices for all at once.

    Args:
        pixels: ``(N, C, H, W)``.
        boxes: ``(N, 4)`` int64, as :func:`boxes` draws them.
        flip: ``(N,)`` bool, which are mirrored left to right.

    Returns:
        Images of the same shape: on the CPU of the same type and in channels_last order, on other
        devices float32.
    """
    if pixels.device.type != "cpu":
        return enlarge_at_once(pixels, boxes, flip)
    size = pixels.shape[2:]
    enlarged = torch.empty_like(pixels, memory_format=torch.channels_last)
    flips = [False] * len(boxes) if flip is None else flip.tolist()
    for image, out, (top, left, bottom, right), mirrored in zip(
        pixels.split(1), enlarged.split(1), boxes.tolist(), flips, strict=True
    ):
        part = functional.interpolate(image[:, :, top:bottom, left:right], size, mode="bilinear")
        out.copy_(part.flip(3) if mirrored else part)
    return enlarged


def enlarge_at_once(pixels: Tensor, boxes: Tensor, flip: Tensor | None = None) -> Tensor:
    """Do what :func:`enlarge` does with one sampling of the whole batch, float32."""
    size = (pixels.shape[2], pixels.shape[3])
    matrices = showing(boxes, size)
    if flip is not None:
        matrices[:, 0, 0] *= torch.where(flip, -1, 1)
    grid = functional.affine_grid(matrices[:, :2], list(pixels.shape), align_corners=False)
    # The middles of the outermost pixels, as (x, y) from -1 to 1.
    whole = torch.tensor(size, device=pixels.device)
    first = ((2 * boxes[:, :2] + 1) / whole - 1).flip(1)[:, None, None]
    last = ((2 * boxes[:, 2:] - 1) / whole - 1).flip(1)[:, None, None]
    return functional.grid_sample(pixels.float(), grid.clamp(first, last), align_corners=False)


def square(matrices: Tensor) -> Tensor:
    """Return ``(N, 2, 3)`` matrices as ``(N, 3, 3)``."""
    last = torch.tensor([0.0, 0.0, 1.0]).expand(len(matrices), 1, 3)
    return torch.cat([matrices, last], 1)


def resample(pixels: Tensor, matrices: Tensor) -> Tensor:
    """Return the images as the matrices say, float32, bilinear; black comes from outside."""
    grid = functional.affine_grid(matrices[:, :2], list(pixels.shape), align_corners=False)
    return functional.grid_sample(pixels.float(), grid, align_corners=False)


def inside(boxes: Tensor, pixels: Tensor) -> Tensor:
    """Return ``(N, 1, H, W)``: whether a pixel lies in its image's box.

    Args:
        boxes: ``(N, 4)`` top, left, bottom and right; the last two are not in it.
        pixels: ``(N, C, H, W)``.
    """
    rows = torch.arange(pixels.shape[2], device=pixels.device)[None, None, :, None]
    columns = torch.arange(pixels.shape[3], device=pixels.device)[None, None, None, :]
    top, left, bottom, right = (edge[:, None, None, None] for edge in boxes.unbind(1))
    return (rows >= top) & (rows < bottom) & (columns >= left) & (columns < right)


def windows(
    padded: Tensor,
    image_size: tuple[int, int],
    top: Tensor | None,
    left: Tensor | None,
    flip: Tensor | None,
) -> Tensor:
    """Do what :func:`crop` does, image by image: large ones are copied row by row, not by pixel.

    ``padded`` is ``(N, H', W', C)``.
    """
    count, channels = padded.shape[0], padded.shape[3]
    height, width = image_size
    zeros = torch.zeros(count, dtype=torch.int64)
    tops, lefts, flips = ((zeros if each is None else each).tolist() for each in (top, left, flip))
    cut = padded.new_empty(count, height, width, channels)
    for image, out, y, x, mirrored in zip(padded, cut, tops, lefts, flips, strict=True):
        window = image[y : y + height, x : x + width]
        out.copy_(window.flip(1) if mirrored else window)
    return cut.permute(0, 3, 1, 2)


def crop(
    pixels: Tensor,
    padding: int,
    top: Tensor | None = None,
    left: Tensor | None = None,
    flip: Tensor | None = None,
) -> Tensor:
    """Cut ``(H, W)`` out of every image, padded with black, and mirror some; one copy does both.

    Args:
        pixels: ``(N, C, H, W)``.
        padding: black pixels on every side.
        top: ``(N,)``, the first row of what is cut out of the padded image; None is 0.
        left: ``(N,)``, its first column.
        flip: ``(N,)`` bool, which of the results are mirrored left to right.

    Returns:
        Images of the same shape and type, in channels_last order.
    """
    count, channels, height, width = pixels.shape
    padded = functional.pad(pixels.permute(0, 2, 3, 1), [0, 0, *[padding] * 4])
    if pixels.device.type == "cpu" and height * width >= LARGE:
        return windows(padded, (height, width), top, left, flip)
    columns = torch.arange(width, device=pixels.device).expand(count, width)
    if flip is not None:
        columns = torch.where(flip[:, None], width - 1 - columns, columns)
    rows = torch.arange(height, device=pixels.device).expand(count, height)
    if top is not None:
        rows = rows + top[:, None]
    if left is not None:
        columns = columns + left[:, None]
    first = torch.arange(count, device=pixels.device)[:, None] * padded.shape[1]
    places = ((first + rows) * padded.shape[2])[:, :, None] + columns[:, None, :]
    chosen = padded.reshape(-1, channels).index_select(0, places.flatten())
    return chosen.view(count, height, width, channels).permute(0, 3, 1, 2)
