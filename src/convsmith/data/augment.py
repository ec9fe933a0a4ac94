"""Random changes to training images, for a whole batch at a time.

The random parameters are drawn in one place and applied in another, so a slice of the drawn
parameters applied to the same slice of the images gives that slice of the result.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge, Le
from torch import Tensor
from torch.nn import functional

from convsmith.bounds import Fraction, Share, Whole
from convsmith.data.images import Source

__all__ = ["LEVELS", "Augment", "Drawn"]


@dataclass(frozen=True)
class Drawn:
    """Random parameters of one batch, one value an image; None where nothing is changed.

    ``top`` and ``left`` are the corner of the crop in the padded image, ``flip`` says which images
    are mirrored, ``matrices`` ``(N, 2, 3)`` map places in the result to places in the image, both
    in coordinates from -1 to 1.
    """

    top: Tensor | None = None
    left: Tensor | None = None
    flip: Tensor | None = None
    matrices: Tensor | None = None

    def to(self, device: torch.device) -> "Drawn":
        """Return the parameters on ``device``."""
        moved = (None if each is None else each.to(device, non_blocking=True) for each in self)
        return Drawn(*moved)

    def __iter__(self):  # type: ignore[no-untyped-def]  # of Tensor | None
        return iter((self.top, self.left, self.flip, self.matrices))

    def __getitem__(self, part: slice) -> "Drawn":
        """Return the parameters of some of the images."""
        return Drawn(*(None if each is None else each[part] for each in self))


@dataclass(frozen=True, kw_only=True)
class Augment:
    """What is drawn for every image; its fields are the options of ``data.augment`` in a recipe.

    Args:
        crop: pixels of black padding on every side from which the original size is cut at random.
        flip: the probability of mirroring left to right.
        rotation: degrees; angles are uniform from minus to plus this.
        translation: shifts are uniform up to this fraction of the size, in both directions.
    """

    crop: Whole = 0
    flip: Share = 0.0
    rotation: Annotated[float, Ge(0), Le(180)] = 0.0
    translation: Fraction = 0.0

    def draw(self, generator: torch.Generator, count: int, image_size: tuple[int, int]) -> Drawn:
        """Draw the parameters of ``count`` images of (height, width), on the CPU."""
        top = left = flip = matrices = None
        if self.crop:
            offsets = torch.randint(2 * self.crop + 1, (2, count), generator=generator)
            top, left = offsets[0], offsets[1]
        if self.flip:
            flip = torch.rand(count, generator=generator) < self.flip
        if self.rotation or self.translation:
            uniform = 2 * torch.rand(3, count, generator=generator) - 1
            angles = uniform[0] * math.radians(self.rotation)
            shifts = uniform[1:] * self.translation * 2  # the image is 2 wide in these coordinates
            matrices = affine(angles, shifts, image_size)
        return Drawn(top, left, flip, matrices)

    def apply(self, pixels: Tensor, drawn: Drawn) -> Tensor:
        """Return the changed images; what comes from outside the frame is black.

        Args:
            pixels: ``(N, C, H, W)``, uint8 or float32.
            drawn: of the same N images, on the same device.

        Returns:
            Images of the same shape and type, but float32 (0 to 255) once they were rotated or
            shifted, by bilinear interpolation.
        """
        if drawn.top is not None and drawn.left is not None:
            pixels = crop(pixels, self.crop, drawn.top, drawn.left)
        if drawn.flip is not None:
            pixels = torch.where(drawn.flip[:, None, None, None], pixels.flip(3), pixels)
        if drawn.matrices is not None:
            grid = functional.affine_grid(drawn.matrices, list(pixels.shape), align_corners=False)
            pixels = functional.grid_sample(pixels.float(), grid, align_corners=False)
        return pixels


def affine(angles: Tensor, shifts: Tensor, image_size: tuple[int, int]) -> Tensor:
    """Return ``(N, 2, 3)`` matrices that rotate in pixels, whatever the image's proportions."""
    height, width = image_size
    cos, sin = angles.cos(), angles.sin()
    first = torch.stack([cos, -sin * height / width, shifts[0]], 1)
    second = torch.stack([sin * width / height, cos, shifts[1]], 1)
    return torch.stack([first, second], 1)


def crop(pixels: Tensor, padding: int, top: Tensor, left: Tensor) -> Tensor:
    """Pad with black and cut ``(H, W)`` at a place of its own from every image."""
    count, channels, height, width = pixels.shape
    padded = functional.pad(pixels, [padding] * 4)
    rows = top[:, None] + torch.arange(height, device=pixels.device)
    columns = left[:, None] + torch.arange(width, device=pixels.device)
    stride = padded.shape[3]
    places = (rows[:, :, None] * stride + columns[:, None, :]).view(count, 1, -1)
    places = places.expand(count, channels, -1)
    return padded.flatten(2).gather(2, places).view(count, channels, height, width)


def light(source: Source) -> Augment:
    """Return a crop by an eighth of the size, and a flip where it keeps the label."""
    size = min(source.train.image_size)
    return Augment(crop=size // 8, flip=0.5 if source.mirrored else 0.0)


def none(source: Source) -> Augment:
    """Return no change."""
    return Augment()


LEVELS: dict[str, Callable[[Source], Augment]] = {"none": none, "light": light}
