"""Batches from images, every one a function of (seed, epoch, step)."""

import math
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from convsmith.data.augment import Augment
from convsmith.data.images import Images
from convsmith.data.mixing import mix_labels, mix_pixels
from convsmith.data.normalise import Normalise
from convsmith.errors import DataError
from convsmith.randomness import generator

__all__ = ["EvalBatches", "Loading", "Sampling", "TrainBatches"]

Sampling = Literal["shuffled", "balanced"]


@dataclass(frozen=True)
class Loading:
    """Where batches are put together: from images on the device, or by threads that read ahead.

    ``stream`` is for images that do not fit in memory: ``workers`` threads each read ``prefetch``
    batches ahead, into pinned memory for a GPU.
    """

    stream: bool = False
    workers: int = 0
    prefetch: int = 2


class TrainBatches:
    """Shuffled, augmented, normalised batches of equal size. Final.

    What does not fill a batch at the end of an epoch is left out of it; every epoch is shuffled
    anew, so it is never the same images. A data set smaller than one batch is one batch.

    With ``world`` processes, that of ``rank`` gets every ``world``-th image of each effective
    batch, changed just as a single process would have changed it.
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
        sampling: Sampling = "shuffled",
        classes: int = 0,
        loading: Loading = Loading(),
        rank: int = 0,
        world: int = 1,
    ) -> None:
        if len(images) == 0:
            raise DataError("there is no image to train on")
        self._reader = Reader(images, device, loading)
        self._count = len(images)
        self._image_size = images.image_size
        self._weights = None if sampling == "shuffled" else balance(images.labels)
        self._normalise = normalise
        self._batch_size = min(batch_size, len(images))
        self._augment = augment
        self._seed = seed
        self._device = device
        self._memory_format = memory_format
        self._classes = classes
        self._part = slice(rank, None, world)

    @property
    def steps_per_epoch(self) -> int:
        """Return the number of batches in one epoch."""
        return self._count // self._batch_size

    def epoch(self, epoch: int, first_step: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield ``(images (B, C, H, W) float32, labels (B,))`` from ``first_step`` on.

        Mixed labels are ``(B, classes)`` float32 instead, shares that add up to 1.
        """
        steps = range(first_step, self.steps_per_epoch)
        order = self._order(epoch).to(self._reader.device)
        chosen = order.split(self._batch_size)[first_step : self.steps_per_epoch]
        # A partner may be another process's image: then each looks at the whole batch.
        early = slice(None) if self._augment.mixes else self._part
        read = self._reader.read([indices[early] for indices in chosen])
        for step, (pixels, labels) in zip(steps, read, strict=True):
            draw = generator(self._seed, "augment", epoch, step)
            drawn = self._augment.draw(draw, self._batch_size, self._image_size)
            changed = self._augment.apply(pixels, drawn[early].to(self._device))
            mix = self._augment.draw_mix(draw, self._batch_size, self._image_size)
            targets = labels
            if mix is not None:
                mix = mix.to(self._device)
                changed = mix_pixels(changed, mix)[self._part]
                targets = mix_labels(labels, mix, self._classes)[self._part]
            yield self._normalise(changed, self._memory_format), targets

    def _order(self, epoch: int) -> Tensor:
        """Return the indices of an epoch's images."""
        draw = generator(self._seed, "order", epoch)
        if self._weights is None:
            return torch.randperm(self._count, generator=draw)
        return torch.multinomial(self._weights, self._count, replacement=True, generator=draw)


def balance(labels: Tensor) -> Tensor:
    """Return ``(N,)`` weights that make every class equally likely to be drawn."""
    return 1 / labels.bincount().double()[labels]


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
        loading: Loading = Loading(),
    ) -> None:
        self._reader = Reader(images, device, loading)
        self._count = len(images)
        self._normalise = normalise
        self._batch_size = batch_size
        self._memory_format = memory_format

    @property
    def count(self) -> int:
        """Return the number of images."""
        return self._count

    def __len__(self) -> int:
        return math.ceil(self._count / self._batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        order = torch.arange(self._count, device=self._reader.device)
        chosen = [part for part in order.split(self._batch_size) if len(part)]
        for pixels, labels in self._reader.read(chosen):
            yield self._normalise(pixels, self._memory_format), labels


class Reader:
    """Reads rows of images: here, from memory or the device, or ahead in threads of its own.

    The threads copy rows of a mapped file with the interpreter's lock let go; processes would have
    to send what they read. ``device`` is where the indices of the rows must be.
    """

    def __init__(self, images: Images, device: torch.device, loading: Loading) -> None:
        self._target = device
        self._loading = loading
        self.device = torch.device("cpu") if loading.stream else device
        self._images = images if loading.stream else images.to(device)

    def read(self, chosen: list[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield uint8 pixels and labels, on the device, of each list of indices."""
        stream, workers = self._loading.stream, self._loading.workers
        if not stream or workers == 0:
            yield from map(self._fetch if stream else self._images.take, chosen)
            return
        ahead = workers * self._loading.prefetch
        pool = ThreadPoolExecutor(workers, "reading")
        waiting: deque[Future[tuple[Tensor, Tensor]]] = deque()
        try:
            for indices in chosen:
                waiting.append(pool.submit(self._fetch, indices))
                if len(waiting) > ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _fetch(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        pixels, labels = self._images.take_alone(indices)
        if pixels.device == self._target:
            return pixels, labels
        if self._target.type == "cuda":  # from there a copy does not make the processor wait
            pixels, labels = pixels.pin_memory(), labels.pin_memory()
        return (
            pixels.to(self._target, non_blocking=True),
            labels.to(self._target, non_blocking=True),
        )
