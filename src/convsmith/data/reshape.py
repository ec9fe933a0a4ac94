"""Data sets in memory with other sizes or channels than their own."""

from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional

from convsmith.data.colour import grey
from convsmith.data.images import Images, Source
from convsmith.errors import DataError

__all__ = ["reshape"]

CHUNK = 1024  # images at a time


def reshape(source: Source, image_size: tuple[int, int] | None, channels: int | None) -> Source:
    """Return a source whose images are resized, and made grey or given three equal channels.

    Resizing is bilinear and smoothed when it makes images smaller, as for files; proportions are
    not kept. None keeps what is there.

    Raises:
        DataError: the source holds points, or images of other than 1 or 3 channels.
    """
    own = source.train
    size, wanted = image_size or own.image_size, channels or own.channels
    if (size, wanted) == (own.image_size, own.channels):
        return source
    if own.image_size == (1, 1):
        raise DataError(
            f"{source.name} holds points: data.image_size and data.channels say nothing"
        )
    if own.channels not in (1, 3):
        raise DataError(f"images of {own.channels} channels cannot be given {wanted}")
    parts = {
        name: None if part is None else reshaped(part, size, wanted)
        for name, part in (
            ("train", source.train),
            ("validation", source.validation),
            ("test", source.test),
        )
    }
    return replace(source, **parts)  # type: ignore[arg-type]  # train is never None


def reshaped(images: Images, size: tuple[int, int], channels: int) -> Images:
    """Return one part, copied."""
    result = torch.empty(len(images), *size, channels, dtype=torch.uint8).permute(0, 3, 1, 2)
    for start in range(0, len(images), CHUNK):
        chosen = slice(start, start + CHUNK)
        result[chosen] = changed(images.take(chosen)[0], size, channels)
    return Images(result, images.labels)


def changed(pixels: Tensor, size: tuple[int, int], channels: int) -> Tensor:
    """Return a few images as uint8."""
    values = pixels.float()
    if channels == 1:
        values = grey(values)
    if tuple(values.shape[2:]) != size:
        values = functional.interpolate(values, size, mode="bilinear", antialias=True)
    return values.round().clamp(0, 255).to(torch.uint8).expand(-1, channels, -1, -1)
