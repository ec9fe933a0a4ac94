"""The one function that turns an image file into pixels, for training, prediction and serving."""

import os
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

import numpy
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from convsmith.errors import DataError

__all__ = ["decode", "to_tensor", "upright"]

LARGEST = 178_956_970  # pixels; Pillow's own limit for a decompression bomb


def decode(
    image: str | os.PathLike[str] | IO[bytes] | Image.Image,
    channels: int,
    image_size: tuple[int, int],
) -> Tensor:
    """Return an image as ``(channels, height, width)`` uint8.

    It is turned upright as its EXIF orientation says; of an animation the first frame is taken;
    transparency is laid on white; 16-bit images are scaled to 8; then it is converted to grey or
    RGB and resized to ``image_size`` (height, width), smoothed when it is made smaller. Proportions
    are not kept.

    Raises:
        DataError: the file is missing, not an image, cut off, or of more than 179 million pixels.
    """
    if channels not in (1, 3):
        raise DataError(f"image files have 1 or 3 channels, the network takes {channels}")
    if isinstance(image, str | os.PathLike):
        name = os.fspath(image)
    else:
        name = str(getattr(image, "name", "the image"))
    with reading(name):
        if isinstance(image, Image.Image):
            return to_tensor(image, channels, image_size)
        with Image.open(image) as opened:
            if opened.width * opened.height > LARGEST:
                raise DataError(
                    f"{name} has {opened.width}x{opened.height} pixels, too many to read"
                )
            return to_tensor(opened, channels, image_size)


@contextmanager
def reading(name: str) -> Iterator[None]:
    """Turn what Pillow raises or warns of into one DataError."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of oddities in metadata; what matters is raised
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            yield
    except FileNotFoundError:
        raise DataError(f"{name} is not there") from None
    except IsADirectoryError:
        raise DataError(f"{name} is a folder, not an image") from None
    except UnidentifiedImageError:
        raise DataError(f"{name} is not an image that can be read") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise DataError(f"{name} has too many pixels to read") from None
    except (OSError, ValueError, SyntaxError, EOFError, RuntimeError, struct.error) as error:
        raise DataError(f"{name} cannot be read: {error}") from error


def to_tensor(image: Image.Image, channels: int, image_size: tuple[int, int]) -> Tensor:
    """Turn upright, convert and resize an opened image."""
    image = upright(image)
    if image.mode in ("I", "I;16", "I;16B", "I;16L", "F"):
        image = eight_bits(image)
    if image.has_transparency_data:
        clear = image.convert("RGBA")
        image = Image.new("RGBA", clear.size, "white")
        image.alpha_composite(clear)
    image = image.convert("L" if channels == 1 else "RGB")
    height, width = image_size
    if image.size != (width, height):
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    pixels = torch.from_numpy(numpy.array(image))
    return pixels[None] if channels == 1 else pixels.permute(2, 0, 1).contiguous()


def upright(image: Image.Image) -> Image.Image:
    """Return the image as its EXIF orientation says; broken EXIF is ignored."""
    try:
        return ImageOps.exif_transpose(image)
    except (AttributeError, KeyError, SyntaxError, TypeError, struct.error):
        return image


def eight_bits(image: Image.Image) -> Image.Image:
    """Return an image of more than 8 bits as 8.

    16-bit files are divided by their range. The formats of 32 bits do not say theirs, so it is
    taken from the values: up to 255, up to 65535 (whole numbers), or up to the largest there is.
    """
    values = numpy.asarray(image, dtype=numpy.float64)
    values = numpy.nan_to_num(values, nan=0, posinf=0, neginf=0).clip(0)
    sixteen = image.mode.startswith("I;16") or image.format in ("PNG", "PPM")
    ranges = [65535.0] if sixteen else [255.0] if image.mode == "F" else [255.0, 65535.0]
    largest = next((each for each in ranges if values.max() <= each), float(values.max()))
    return Image.fromarray((values.clip(0, largest) * 255 / largest).round().astype(numpy.uint8))
