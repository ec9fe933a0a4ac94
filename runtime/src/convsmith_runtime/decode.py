"""The one function that turns an image file into pixels, for training, prediction and serving."""

import os
import stat
import struct
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Literal

import numpy
from PIL import Image, ImageOps, UnidentifiedImageError

from convsmith_runtime.errors import ImageError

__all__ = ["GREY", "Pixels", "Resize", "decode", "decode_quietly", "quiet", "to_pixels", "upright"]

LARGEST = 64_000_000  # pixels at once, in all threads; larger JPEG files are read at a fraction

Pixels = numpy.ndarray[tuple[int, int, int], numpy.dtype[numpy.uint8]]
Resize = Literal["stretch", "crop", "pad"]

GREY = ("1", "L", "I", "F", "I;16", "I;16B", "I;16L")


def decode(
    image: str | os.PathLike[str] | IO[bytes] | Image.Image,
    channels: int,
    image_size: tuple[int, int],
    resize: Resize = "stretch",
) -> Pixels:
    """Return an image as ``(channels, height, width)`` uint8.

    It is turned upright as its EXIF orientation says; of an animation the first frame is taken;
    it is resized to ``image_size`` (height, width), smoothed when it is made smaller; transparency
    is laid on white; 16-bit images are scaled to 8; then it is converted to grey or RGB.

    Args:
        image: a file, an open file, or a Pillow image, which stays as it is.
        channels: 1 or 3.
        image_size: (height, width) of the result.
        resize: ``stretch`` keeps everything but not the proportions, ``crop`` cuts off what stands
            over at the longer side, ``pad`` fills the shorter side with black.

    Raises:
        ImageError: the file is missing, not an image, cut off, or of too many pixels.
    """
    with quiet():
        return decode_quietly(image, channels, image_size, resize)


@contextmanager
def quiet() -> Iterator[None]:
    """Keep Pillow's warnings of odd metadata from the person; what matters is raised.

    Not safe in several threads at once: enter it around them.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def decode_quietly(
    image: str | os.PathLike[str] | IO[bytes] | Image.Image,
    channels: int,
    image_size: tuple[int, int],
    resize: Resize = "stretch",
    *,
    formats: tuple[str, ...] | None = None,
    largest: int | None = None,
) -> Pixels:
    """Do what :func:`decode` does; for many threads that are in :func:`quiet` together.

    Of a stranger's file, only the ``formats`` that are named (in Pillow's words) are tried, and one
    that says that it has more than ``largest`` pixels is refused before any is decoded.
    """
    if channels not in (1, 3):
        raise ImageError(f"image files have 1 or 3 channels, the network takes {channels}")
    if isinstance(image, str | os.PathLike):
        name = os.fspath(image)
    else:
        name = str(getattr(image, "name", "the image"))
    with reading(name):
        if isinstance(image, Image.Image):
            return to_pixels(image.copy(), channels, image_size, resize)
        if isinstance(image, str | os.PathLike) and stat.S_ISFIFO(Path(image).stat().st_mode):
            raise ImageError(f"{name} is a pipe, not a file")  # opening it would wait for a writer
        with Image.open(image, formats=formats) as opened:
            if largest is not None and opened.width * opened.height > largest:
                raise ImageError(
                    f"{name} has {opened.width}x{opened.height} pixels, and the limit is "
                    f"{largest:,} in all"
                )
            if opened.format in ("JPEG", "MPO"):  # decoded at a half, a quarter or an eighth
                opened.draft(None, (2 * max(image_size), 2 * max(image_size)))
            if opened.format == "JPEG2000" and opened.width * opened.height > LARGEST // 4:
                opened.reduce = 1  # type: ignore[method-assign,assignment]  # at a half: 27 bytes a pixel
            if opened.width * opened.height > LARGEST:
                raise ImageError(
                    f"{name} has {opened.width}x{opened.height} pixels, too many to read"
                )
            with ROOM.taking(opened.width * opened.height):
                return to_pixels(opened, channels, image_size, resize)


class Room:
    """So many pixels may be decoded at once, by whatever number of threads. Final."""

    def __init__(self, pixels: int) -> None:
        self._free = self._all = pixels
        self._changed = threading.Condition()

    @contextmanager
    def taking(self, pixels: int) -> Iterator[None]:
        """Wait until there is room for ``pixels``, or nobody else, and take it."""
        with self._changed:
            self._changed.wait_for(lambda: pixels <= self._free or self._free == self._all)
            self._free -= pixels
        try:
            yield
        finally:
            with self._changed:
                self._free += pixels
                self._changed.notify_all()


ROOM = Room(LARGEST)


@contextmanager
def reading(name: str) -> Iterator[None]:
    """Turn what Pillow raises into one ImageError."""
    try:
        yield
    except FileNotFoundError:
        raise ImageError(f"{name} is not there") from None
    except IsADirectoryError:
        raise ImageError(f"{name} is a folder, not an image") from None
    except UnidentifiedImageError:
        raise ImageError(f"{name} is not an image that can be read") from None
    except Image.DecompressionBombError:
        raise ImageError(f"{name} has too many pixels to read") from None
    except (OSError, ValueError, SyntaxError, EOFError, RuntimeError, struct.error) as error:
        raise ImageError(f"{name} cannot be read: {error}") from error
    except (IndexError, KeyError, TypeError, AttributeError, MemoryError) as error:
        raise ImageError(f"{name} cannot be read: its contents are not valid") from error


def to_pixels(
    image: Image.Image, channels: int, image_size: tuple[int, int], resize: Resize = "stretch"
) -> Pixels:
    """Turn upright, resize and convert an opened image, which may be changed."""
    image = plain_mode(upright(image))
    brightest = range_of(image) if image.mode in GREY and image.mode != "L" else 255.0
    image = fit(image, image_size, resize)
    if brightest != 255.0 or image.mode not in ("L", "RGB", "RGBA"):
        image = eight_bits(image, brightest)
    if image.mode == "RGBA":
        white = Image.new("RGBA", image.size, "white")
        white.alpha_composite(image)
        image = white
    image = image.convert("L" if channels == 1 else "RGB")
    height, width = image_size
    if image.size != (width, height):
        padded = Image.new(image.mode, (width, height))
        padded.paste(image, ((width - image.width) // 2, (height - image.height) // 2))
        image = padded
    return numpy.array(image).reshape(height, width, channels).transpose(2, 0, 1)


def upright(image: Image.Image) -> Image.Image:
    """Turn the image as its EXIF orientation says, and return it; broken EXIF is ignored."""
    with suppress(AttributeError, KeyError, SyntaxError, TypeError, ValueError, struct.error):
        ImageOps.exif_transpose(image, in_place=True)
    return image


def plain_mode(image: Image.Image) -> Image.Image:
    """Return an image that can be resized smoothly: L, RGB, RGBA, or grey of more than 8 bits."""
    if image.has_transparency_data:
        return image if image.mode == "RGBA" else image.convert("RGBA")
    if image.mode in ("L", "RGB") or (image.mode in GREY and image.mode not in ("1", "F")):
        return image
    if image.mode == "1":
        return image.convert("L")
    if image.mode == "F":  # not a number and infinity would spread over their neighbours
        values = numpy.array(image, dtype=numpy.float32)
        numpy.nan_to_num(values, copy=False, nan=0, posinf=0, neginf=0)
        return Image.fromarray(values)
    return image.convert("RGB")


def range_of(image: Image.Image) -> float:
    """Return the value that stands for white in a grey image of more than 8 bits.

    Files of 16 bits have their range. The formats of 32 bits do not say theirs, so it is taken
    from the values: up to 255, up to 65535 (whole numbers), or up to the largest there is.
    """
    largest = float(image.getextrema()[1])  # type: ignore[arg-type]  # one band
    sixteen = image.mode.startswith("I;16") or image.format in ("PNG", "PPM")
    ranges = [65535.0] if sixteen else [255.0] if image.mode == "F" else [255.0, 65535.0]
    return next((each for each in ranges if largest <= each), largest)


def eight_bits(image: Image.Image, brightest: float) -> Image.Image:
    """Return a grey image of more than 8 bits as 8."""
    values = numpy.asarray(image, dtype=numpy.float64).clip(0, brightest)
    return Image.fromarray((values * 255 / brightest).round().astype(numpy.uint8))


def fit(image: Image.Image, image_size: tuple[int, int], resize: Resize) -> Image.Image:
    """Resize to (height, width); for ``pad``, to what then lies inside."""
    height, width = image_size
    box = (0.0, 0.0, float(image.width), float(image.height))
    if resize == "crop":
        scale = min(image.width / width, image.height / height)
        left = (image.width - width * scale) / 2
        top = (image.height - height * scale) / 2
        right, bottom = left + width * scale, top + height * scale
        box = (  # rounding must not lead outside
            max(left, 0.0),
            max(top, 0.0),
            min(right, float(image.width)),
            min(bottom, float(image.height)),
        )
    elif resize == "pad":
        scale = max(image.width / width, image.height / height)
        width = max(1, round(image.width / scale))
        height = max(1, round(image.height / scale))
    if image.size == (width, height):
        return image
    return image.resize((width, height), Image.Resampling.BILINEAR, box)
