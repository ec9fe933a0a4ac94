"""The one function that turns an image file into pixels, as a tensor: training's and prediction's.

It is the runtime's, so that serving sees the same pixels.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

import torch
from PIL import Image
from torch import Tensor

from convsmith.errors import DataError
from convsmith_runtime import decode as runtime
from convsmith_runtime.decode import GREY, Resize, quiet, upright
from convsmith_runtime.errors import ImageError

__all__ = ["GREY", "Resize", "decode", "decode_quietly", "quiet", "to_tensor", "upright"]

Given = str | os.PathLike[str] | IO[bytes] | Image.Image


def decode(
    image: Given, channels: int, image_size: tuple[int, int], resize: Resize = "stretch"
) -> Tensor:
    """Return an image as ``(channels, height, width)`` uint8.

    See :func:`convsmith_runtime.decode.decode`.

    Raises:
        DataError: the file is missing, not an image, cut off, or of too many pixels.
    """
    with quiet():
        return decode_quietly(image, channels, image_size, resize)


def decode_quietly(
    image: Given, channels: int, image_size: tuple[int, int], resize: Resize = "stretch"
) -> Tensor:
    """Do what :func:`decode` does; for many threads that are in :func:`quiet` together."""
    with as_data_error():
        return torch.from_numpy(runtime.decode_quietly(image, channels, image_size, resize))


def to_tensor(
    image: Image.Image, channels: int, image_size: tuple[int, int], resize: Resize = "stretch"
) -> Tensor:
    """Turn upright, resize and convert an opened image, which may be changed."""
    return torch.from_numpy(runtime.to_pixels(image, channels, image_size, resize))


@contextmanager
def as_data_error() -> Iterator[None]:
    """Raise the runtime's error as convsmith's."""
    try:
        yield
    except ImageError as error:
        raise DataError(str(error)) from error
