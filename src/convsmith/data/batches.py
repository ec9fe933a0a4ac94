"""Batches from images in memory, every one a function of (seed, epoch, step)."""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from convsmith.data.augment import Augment
from convsmith.data.images import Images
from convsmith.data.normalise import Normalise
from convsmith.errors import DataError
from convsmith.randomness import generator

__all__ = ["EvalBatches", "TrainBatches"]


class TrainBatches:
    """Shuffled, augmented, normalised batches of equal size. Final.

    What does not fill a batch at the end of an epoch is left out of it; every epoch is shuffled
    anew, so it is never the same images. A data set smaller than one batch is one batch.
    """

    def __init__(
        self,
        images: Images,
        normalise: Normalise,
        *,
        batch_size: int,
        augment: Augment,
        seed: int,
        device: torch.device,
        memory_format: torch.memory_format = torch.contiguous_format,
    ) -> None:
        if len(images) == 0:
            raise DataError("there is no image to train on")
        self._images = images.to(device)
        self._normalise = normalise
        self._batch_size = min(batch_size, len(images))
        self._augment = augment
        self._seed = seed
        self._device = device
        self._memory_format = memory_format

    @property
    def steps_per_epoch(self) -> int:
        """Return the number of batches in one epoch."""
        return len(self._images) // self._batch_size

    def epoch(self, epoch: int, first_step: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield ``(images (B, C, H, W) float32, labels (B,))`` from ``first_step`` on."""
        order = torch.randperm(len(self._images), generator=generator(self._seed, "order", epoch))
        order = order.to(self._device)
        for step in range(first_step, self.steps_per_epoch):
            chosen = order[step * self._batch_size : (step + 1) * self._batch_size]
            draw = generator(self._seed, "augment", epoch, step)
            drawn = self._augment.draw(draw, len(chosen), self._images.image_size)
            batch = self._images.select(chosen)
            pixels = self._augment.apply(batch.pixels, drawn.to(self._device))
            yield self._normalise(pixels, self._memory_format), batch.labels


class EvalBatches:
    """All images in their order, normalised; the last batch may be smaller. Final."""

    def __init__(
        self,
        images: Images,
        normalise: Normalise,
        *,
        batch_size: int,
        device: torch.device,
        memory_format: torch.memory_format = torch.contiguous_format,
    ) -> None:
        self._images = images.to(device)
        self._normalise = normalise
        self._batch_size = batch_size
        self._memory_format = memory_format

    @property
    def count(self) -> int:
        """Return the number of images."""
        return len(self._images)

    def __len__(self) -> int:
        return math.ceil(len(self._images) / self._batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for start in range(0, len(self._images), self._batch_size):
            part = slice(start, start + self._batch_size)
            pixels = self._normalise(self._images.pixels[part], self._memory_format)
            yield pixels, self._images.labels[part]
