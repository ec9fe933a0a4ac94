"""From an image file of a stranger to pixels, or the reason why not."""

import logging
from io import BytesIO

from convsmith_runtime.decode import Pixels, Resize, decode_quietly
from convsmith_runtime.errors import ImageError
from convsmith_runtime.http.uploads import Upload

__all__ = ["FORMATS", "read_upload"]

log = logging.getLogger("convsmith_runtime.http")

# What browsers and cameras write. Pillow knows many more, some of which start other programs.
FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP")

# What a file must not be, alone or besides. Photographs with a film behind them are sound.
AT_THE_START = {
    b"<!doctype svg": "a drawing in SVG",
    b"%pdf-": "a PDF document",
    b"<!doctype": "a web page",
    b"<html": "a web page",
    b"<script": "a web page",
    b"<svg": "a drawing in SVG",
    b"<?php": "a program in PHP",
}
ANYWHERE = {
    b"Rar!\x1a\x07": "a RAR archive",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
}
START = 1024  # bytes; PDF readers look as far
ALONE = (b"<", b"%PDF-", b"PK", *ANYWHERE)  # no image begins so
ZIP_END = b"PK\x05\x06"
ZIP_END_BYTES = 22


def read_upload(
    upload: Upload, channels: int, image_size: tuple[int, int], resize: Resize, largest: int
) -> Pixels:
    """Return an uploaded image as ``(channels, height, width)`` uint8.

    Raises:
        ImageError: it is empty, no image, of another format, cut off, too large, or two things at
            once.
    """
    if not upload.content:
        raise ImageError(f"{upload.name} is empty")
    other = other_nature(upload.content)
    if other is not None and is_alone(upload.content):
        known = f"{', '.join(FORMATS[:-1])} and {FORMATS[-1]}"
        raise ImageError(f"{upload.name} is {other}; the images that are read are {known}")
    if other is not None:
        raise ImageError(f"{upload.name} is {other} as well as an image")
    file = BytesIO(upload.content)
    file.name = upload.name
    try:
        return decode_quietly(file, channels, image_size, resize, formats=FORMATS, largest=largest)
    except ImageError:
        raise
    except Exception as error:  # a decoder that trips over a file has found the file wanting
        log.warning("a decoder failed on %r: %r", upload.name, error)
        raise ImageError(f"{upload.name} cannot be read: its contents are not valid") from error


def is_alone(content: bytes) -> bool:
    """Return whether a file of another kind is nothing besides: it begins as no image does."""
    return content.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(ALONE)


def other_nature(content: bytes) -> str | None:
    """Return what a file is, perhaps besides an image, as a reader of that kind would find it."""
    start = content[:START].lower()
    marks = [mark for mark in AT_THE_START if mark in start]
    if marks:
        return AT_THE_START[min(marks, key=start.find)]
    for mark, kind in ANYWHERE.items():
        if mark in content:
            return kind
    place = content.rfind(ZIP_END, -(2**16 + ZIP_END_BYTES))
    if place >= 0 and len(content) - place >= ZIP_END_BYTES:
        comment = int.from_bytes(content[place + 20 : place + 22], "little")
        if place + ZIP_END_BYTES + comment <= len(content):
            return "a ZIP archive"
    return None
