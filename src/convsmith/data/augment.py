"""Random changes to training images, for a whole batch at a time.

The random parameters are drawn in one place and applied in another, so a slice of the drawn
parameters applied to the same slice of the images gives that slice of the result.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Annotated

import torch
from annotated_types import Ge, Le
from torch import Tensor

from convsmith.bounds import Fraction, NonNegative, Share, Whole
from convsmith.data import colour, geometry
from convsmith.data.images import Source
from convsmith.data.mixing import Mix, draw_mix

__all__ = ["LEVELS", "Augment", "Drawn"]

COLOURS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {  # in the order of application
    "brightness": colour.brightness,
    "contrast": colour.contrast,
    "saturation": colour.saturation,
    "hue": colour.hue,
}
# RandAugment's operations that change no place, and their strength at a magnitude from 0 to 1
# (Cubuk et al., "RandAugment", 2019, with torchvision's ranges); those that do are in `moved`.
RANDOM_COLOURS: tuple[Callable[[Tensor, Tensor], Tensor], ...] = (
    lambda pixels, signed: colour.brightness(pixels, 1 + 0.9 * signed),
    lambda pixels, signed: colour.contrast(pixels, 1 + 0.9 * signed),
    lambda pixels, signed: colour.saturation(pixels, 1 + 0.9 * signed),
    lambda pixels, signed: colour.sharpness(pixels, 1 + 0.9 * signed),
    lambda pixels, signed: colour.posterize(pixels, 8 - (4 * signed.abs()).round()),
    lambda pixels, signed: colour.solarize(pixels, 256 * (1 - signed.abs())),
    lambda pixels, signed: colour.autocontrast(pixels),
    lambda pixels, signed: colour.equalize(pixels),
)
MOVES = 5  # rotation, two shears, two shifts
IDENTITY = MOVES + len(RANDOM_COLOURS)
LARGE = 64  # pixels; from there on, levels crop as is usual for photographs


@dataclass(frozen=True)
class Drawn:
    """Random parameters of one batch, one value an image; None where nothing is changed.

    ``top`` and ``left`` are the corner of the crop in the padded image, ``flip`` says which images
    are mirrored, ``boxes`` ``(N, 4)`` are the top, left, bottom and right of what is enlarged.
    ``matrices`` ``(N, 2, 3)`` map places in the result to places in the image, both in coordinates
    from -1 to 1. ``factors`` ``(N, 4)`` are those of brightness, contrast, saturation and hue;
    ``operations`` ``(N, n)`` number RandAugment's operations, ``signed`` ``(N, n)`` their
    magnitudes; ``holes`` ``(N, 4)`` are the top, left, bottom and right of what is cut out.
    """

    top: Tensor | None = None
    left: Tensor | None = None
    flip: Tensor | None = None
    boxes: Tensor | None = None
    matrices: Tensor | None = None
    factors: Tensor | None = None
    operations: Tensor | None = None
    signed: Tensor | None = None
    holes: Tensor | None = None

    def to(self, device: torch.device) -> "Drawn":
        """Return the parameters on ``device``."""
        moved = (None if each is None else each.to(device, non_blocking=True) for each in self)
        return Drawn(*moved)

    def __iter__(self):  # type: ignore[no-untyped-def]  # of Tensor | None
        return (getattr(self, each.name) for each in fields(self))

    def __getitem__(self, part: slice) -> "Drawn":
        """Return the parameters of some of the images."""
        return Drawn(*(None if each is None else each[part] for each in self))


@dataclass(frozen=True, kw_only=True)
class Augment:
    """What is drawn for every image; its fields are the options of ``data.augment`` in a recipe.

    What changes places comes first, then colours, then holes. Mixing is done on the whole batch
    afterwards.

    Args:
        crop: pixels of black padding on every side from which the original size is cut at random.
        flip: the probability of mirroring left to right.
        resized_crop: the least share of the area that is cut out and enlarged; 0 cuts nothing.
        rotation: degrees; angles are uniform from minus to plus this.
        translation: shifts are uniform up to this fraction of the size, in both directions.
        zoom: sizes are multiplied by a factor uniform from 1 - zoom to 1 + zoom.
        brightness: factors are uniform from 1 - brightness to 1 + brightness.
        contrast: the same.
        saturation: the same; it leaves grey images alone.
        hue: turns are uniform up to this share of the colour circle, at most a half.
        cutout: the side of a square hole, as a fraction of the shorter side; it is filled with the
            image's mean colour (DeVries & Taylor, 2017).
        random_operations: how many of RandAugment's operations are applied to an image.
        magnitude: their strength, from 0 to 1.
        mixup: the strength of mixup; 0 mixes nothing.
        cutmix: the strength of CutMix.
    """

    crop: Whole = 0
    flip: Share = 0.0
    resized_crop: Share = 0.0
    rotation: Annotated[float, Ge(0), Le(180)] = 0.0
    translation: Fraction = 0.0
    zoom: Fraction = 0.0
    brightness: Share = 0.0
    contrast: Share = 0.0
    saturation: Share = 0.0
    hue: Annotated[float, Ge(0), Le(0.5)] = 0.0
    cutout: Share = 0.0
    random_operations: Annotated[Whole, Le(10)] = 0
    magnitude: Share = 0.3
    mixup: Annotated[NonNegative, Le(100)] = 0.0
    cutmix: Annotated[NonNegative, Le(100)] = 0.0

    @property
    def mixes(self) -> bool:
        """Return whether images and labels are mixed."""
        return self.mixup > 0 or self.cutmix > 0

    def draw(self, generator: torch.Generator, count: int, image_size: tuple[int, int]) -> Drawn:
        """Draw the parameters of ``count`` images of (height, width), on the CPU."""
        top = left = flip = boxes = matrices = factors = operations = signed = holes = None
        if self.crop:
            offsets = torch.randint(2 * self.crop + 1, (2, count), generator=generator)
            top, left = offsets[0], offsets[1]
        if self.flip:
            flip = torch.rand(count, generator=generator) < self.flip
        parts = []
        if self.rotation or self.translation or self.zoom:
            parts.append(self._draw_affine(generator, count, image_size))
        if self.resized_crop:
            uniform = torch.rand(4, count, generator=generator)
            boxes = geometry.boxes(uniform, self.resized_crop, image_size)
            if parts or self.random_operations:  # then one resampling does everything
                parts.append(geometry.showing(boxes, image_size))
                boxes = None
        if any(getattr(self, name) for name in COLOURS):
            limits = torch.tensor([getattr(self, name) for name in COLOURS])
            uniform = 2 * torch.rand(count, len(COLOURS), generator=generator) - 1
            factors = torch.tensor([1.0, 1.0, 1.0, 0.0]) + uniform * limits
        if self.random_operations:
            shape = (count, self.random_operations)
            operations = torch.randint(IDENTITY + 1, shape, generator=generator)
            signs = 2 * torch.randint(2, shape, generator=generator) - 1
            signed = signs * self.magnitude
            parts.append(moved(operations, signed, image_size))
        if self.cutout:
            holes = self._draw_holes(generator, count, image_size)
        if parts:
            product = parts[0]
            for each in parts[1:]:
                product = product @ each
            matrices = product[:, :2].contiguous()
        return Drawn(top, left, flip, boxes, matrices, factors, operations, signed, holes)

    def _draw_affine(
        self, generator: torch.Generator, count: int, image_size: tuple[int, int]
    ) -> Tensor:
        uniform = 2 * torch.rand(3, count, generator=generator) - 1
        angles = uniform[0] * math.radians(self.rotation)
        shifts = uniform[1:] * self.translation * 2  # the image is 2 wide in these coordinates
        scale = None
        if self.zoom:
            scale = 1 + (2 * torch.rand(count, generator=generator) - 1) * self.zoom
        return geometry.affine(angles, shifts, image_size, scale)

    def _draw_holes(
        self, generator: torch.Generator, count: int, image_size: tuple[int, int]
    ) -> Tensor:
        sizes = torch.tensor(image_size)
        side = round(self.cutout * min(image_size))
        uniform = torch.rand(count, 2, generator=generator)
        corner = (uniform * sizes).floor().long() - side // 2
        return torch.cat([corner, corner + side], 1)

    def draw_mix(
        self, generator: torch.Generator, count: int, image_size: tuple[int, int]
    ) -> Mix | None:
        """Draw how the images of a whole batch are mixed; None if they are not."""
        if not self.mixes:
            return None
        return draw_mix(generator, count, image_size, self.mixup, self.cutmix)

    def apply(self, pixels: Tensor, drawn: Drawn) -> Tensor:
        """Return the changed images; what comes from outside the frame is black.

        Args:
            pixels: ``(N, C, H, W)``, uint8 or float32.
            drawn: of the same N images, on the same device.

        Returns:
            Images of the same shape and type, but float32 (0 to 255) once more than cropped,
            mirrored and, on the CPU, enlarged.
        """
        flip = drawn.flip if drawn.boxes is None else None  # otherwise the enlarged are mirrored
        if drawn.top is not None or flip is not None:
            pixels = geometry.crop(pixels, self.crop, drawn.top, drawn.left, flip)
        if drawn.boxes is not None:
            pixels = geometry.enlarge(pixels, drawn.boxes, drawn.flip)
        if drawn.matrices is not None:
            pixels = geometry.resample(pixels, drawn.matrices)
        if drawn.factors is not None:
            pixels = pixels.float()
            for column, (name, change) in enumerate(COLOURS.items()):
                if getattr(self, name):
                    pixels = change(pixels, drawn.factors[:, column])
        if drawn.operations is not None and drawn.signed is not None:
            pixels = recoloured(pixels.float(), drawn.operations, drawn.signed)
        if drawn.holes is not None:
            pixels = punched(pixels.float(), drawn.holes)
        return pixels


def moved(operations: Tensor, signed: Tensor, image_size: tuple[int, int]) -> Tensor:
    """Return ``(N, 3, 3)`` matrices of RandAugment's operations that change places."""
    product = torch.eye(3).repeat(len(operations), 1, 1)
    for operation, magnitude in zip(operations.T, signed.T, strict=True):
        chosen = [(operation == number) * magnitude for number in range(MOVES)]
        shifts = torch.stack(chosen[3:]) * (150 / 331) * 2
        sheared = torch.stack(chosen[1:3]) * 0.3
        turned = geometry.affine(chosen[0] * math.radians(30), shifts, image_size)
        product = product @ turned @ geometry.shear(sheared, image_size)
    return product


def recoloured(pixels: Tensor, operations: Tensor, signed: Tensor) -> Tensor:
    """Apply RandAugment's operations on colours, each to the images that drew it."""
    for operation, magnitude in zip(operations.T, signed.T, strict=True):
        for number, change in enumerate(RANDOM_COLOURS, MOVES):
            chosen = (operation == number).nonzero().flatten()
            if len(chosen):
                changed = change(pixels[chosen], magnitude[chosen])
                pixels = pixels.index_copy(0, chosen, changed)
    return pixels


def punched(pixels: Tensor, holes: Tensor) -> Tensor:
    """Fill the holes with the mean colour of each image."""
    mean = pixels.mean((2, 3), keepdim=True)
    return torch.where(geometry.inside(holes, pixels), mean, pixels)


def none(source: Source) -> Augment:
    """Return no change."""
    return Augment()


def light(source: Source) -> Augment:
    """Return a crop, and a flip where it keeps the label."""
    size = min(source.train.image_size)
    if source.train.image_size == (1, 1):
        return Augment()
    flip = 0.5 if source.mirrored else 0.0
    if size >= LARGE:
        return Augment(resized_crop=0.5, flip=flip)
    return Augment(crop=size // 8, flip=flip)


def moderate(source: Source) -> Augment:
    """Return what is light, with a jitter of colours, a small affine change and a hole."""
    if source.train.image_size == (1, 1):  # points
        return Augment()
    return replace(
        light(source),
        rotation=5.0,
        translation=0.05,
        zoom=0.1,
        brightness=0.2,
        contrast=0.2,
        saturation=0.2 if source.train.channels == 3 else 0.0,
        cutout=0.25,
    )


def strong(source: Source) -> Augment:
    """Return what is moderate, with more rotation, two random operations and mixup."""
    if source.train.image_size == (1, 1):
        return Augment()
    return replace(moderate(source), rotation=15.0, random_operations=2, mixup=0.2)


LEVELS: dict[str, Callable[[Source], Augment]] = {
    "none": none,
    "light": light,
    "moderate": moderate,
    "strong": strong,
}
