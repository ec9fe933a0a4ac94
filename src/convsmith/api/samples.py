"""The images that compressing looks at: to calibrate on, to choose by, and to report on."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy
import torch

from convsmith.compression.layers import Array
from convsmith.data.images import Images
from convsmith.errors import UserError
from convsmith.randomness import generator
from convsmith.recipe.build import Parts

__all__ = ["Sample", "Samples", "choose_samples"]

BATCH = 128
WITHOUT_VALIDATION = 5000  # training images to choose by where a run kept no validation part


@dataclass(frozen=True)
class Sample:
    """Some images of one part."""

    images: Images

    def __len__(self) -> int:
        return len(self.images)

    def batches(self) -> Iterator[Array]:
        """Yield images ``(N, C, H, W)`` uint8, in order."""
        for start in range(0, len(self.images), BATCH):
            stop = min(start + BATCH, len(self.images))
            pixels, _ = self.images.take(torch.arange(start, stop))
            yield numpy.ascontiguousarray(pixels.numpy())

    @property
    def labels(self) -> Array:
        """Return the classes ``(N,)``."""
        found: Array = self.images.labels.numpy()
        return found

    def first(self, count: int) -> Array:
        """Return so many images, some of them again where there are fewer."""
        indices = torch.arange(count) % len(self.images)
        return numpy.ascontiguousarray(self.images.take(indices)[0].numpy())


@dataclass(frozen=True)
class Samples:
    """Three samples that share no image; ``part`` says in words what ``selection`` is of."""

    calibration: Sample
    selection: Sample
    test: Sample
    part: str


def choose_samples(parts: Parts, seed: int, calibration: int, most: int | None) -> Samples:
    """Choose images by seed.

    Ranges are taken from training images. Variants are chosen by the validation part or, where the
    run kept none, by training images that are not calibrated on. ``most`` is the most images of
    the selection and of the test part; None is all.

    Raises:
        UserError: there are too few images.
    """
    count = len(parts.train)
    order = torch.randperm(count, generator=generator(seed, "calibration"))
    if calibration >= count:
        raise UserError(
            f"there are {count:,} training images, too few to calibrate on {calibration:,}"
        )
    first, rest = order[:calibration], order[calibration:]
    if parts.validation is None:
        selection = parts.train.select(rest[: most or WITHOUT_VALIDATION])
        part = "training images (the run kept no validation part)"
    else:
        selection, part = some(parts.validation, seed, most), "validation part"
    return Samples(
        Sample(parts.train.select(first)),
        Sample(selection),
        Sample(some(parts.test, seed, most)),
        part,
    )


def some(images: Images, seed: int, most: int | None) -> Images:
    """Return at most so many images, chosen by seed."""
    if most is None or most >= len(images):
        return images
    order = torch.randperm(len(images), generator=generator(seed, "measured images"))
    return images.select(order[:most].sort().values)
