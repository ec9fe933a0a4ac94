"""From the body of a request to the images in it."""

import asyncio
import binascii
import json
import re
from base64 import b64decode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from starlette.requests import ClientDisconnect, Request

from convsmith_runtime.http.limits import Limits, Refused, busy

__all__ = ["Bodies", "Upload", "uploads_in"]

KINDS = "multipart/form-data, application/json, application/octet-stream or image/*"
NAME = 120  # characters of a file's name that are given back
LONGEST_HEAD = 4096
BOUNDARY = re.compile(r'\bboundary=(?:"([^"]{1,200})"|([^;\s"]{1,200}))', re.IGNORECASE)
FILE_NAME = re.compile(
    rb'^Content-Disposition:.*?;[ \t]*filename(?:="([^"\r\n]*)"|=([^;\s"]+)|\*=)', re.I | re.M
)


@dataclass(frozen=True)
class Upload:
    """One image file as it was sent."""

    name: str
    content: bytes


class Bodies:
    """Reads bodies, and counts what all of them hold in memory together. Final."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._held = 0

    @asynccontextmanager
    async def reading(self, request: Request) -> AsyncIterator[bytes]:
        """Read a body, which counts as held until the end of the context.

        Raises:
            Refused: it is, or says that it is, too long, or all together are; or it does not come
                whole, or not in time.
        """
        body = bytearray()
        try:
            yield await self._read(request, body)
        finally:
            self._held -= len(body)

    async def _read(self, request: Request, body: bytearray) -> bytes:
        """Return the body; what has come of it is in ``body``, however this ends."""
        longest = self._limits.body_bytes
        too_long = Refused(413, "body", f"the body is longer than {longest:,} bytes")
        declared = request.headers.get("content-length", "0")
        if len(declared) > 18 or (declared.isdecimal() and int(declared) > longest):
            raise too_long
        try:
            async with asyncio.timeout(self._limits.upload_seconds):
                async for chunk in request.stream():
                    self._held += len(chunk)
                    body += chunk
                    if len(body) > longest:
                        raise too_long
                    if self._held > self._limits.held_bytes:
                        raise busy("too many bytes are being sent at once")
        except TimeoutError:
            seconds = f"{self._limits.upload_seconds:g} s"
            raise Refused(408, "body", f"the body did not come within {seconds}") from None
        except ClientDisconnect:
            raise Refused(400, "body", "the body ended early") from None
        return bytes(body)


def uploads_in(body: bytes, content_type: str, limits: Limits) -> list[Upload]:
    """Return the images of a form, of JSON, or the one that the body is.

    Raises:
        Refused: the body is not what it says it is, or holds no image or too many.
    """
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        return from_form(body, content_type, limits.images)
    if kind == "application/json":
        return from_json(body, limits.images)
    if kind != "application/octet-stream" and not kind.startswith("image/"):
        raise Refused(415, "type", f"the Content-Type must be {KINDS}")
    if not body:
        raise Refused(400, "body", "there is no image in the body")
    return [Upload("the image", body)]


def from_form(body: bytes, content_type: str, most: int) -> list[Upload]:
    """Return the files of a form; its other fields are passed over. Source: RFC 7578."""
    boundary = BOUNDARY.search(content_type)
    if boundary is None:
        raise Refused(400, "body", "the Content-Type of the form has no boundary")
    line = b"--" + (boundary[1] or boundary[2]).encode("latin-1", "replace")
    if body.count(line) > 2 * most + 2:  # as many files and fields
        raise too_many(most)
    _, *parts = (b"\r\n" + body).split(b"\r\n" + line)
    if not parts or parts[-1][:2] != b"--":
        raise Refused(400, "body", "the form has no end: it is cut off, or has another boundary")
    files = (file_in(part, number) for number, part in enumerate(parts[:-1], 1))
    found = [each for each in files if each is not None]
    if len(found) > most:
        raise too_many(most)
    if not found:
        raise Refused(400, "body", "there is no file in the form: curl -F image=@cat.jpg sends one")
    return found


def file_in(part: bytes, number: int) -> Upload | None:
    """Return the file that a part of a form holds, or None if it is another field."""
    head, gap, content = part.partition(b"\r\n\r\n")
    if not gap or len(head) > LONGEST_HEAD:
        raise Refused(400, "body", "a part of the form has no proper headers")
    name = FILE_NAME.search(head)
    if name is None:
        return None
    shown = (name[1] or name[2] or b"").decode("utf-8", "replace")[:NAME]
    return Upload(shown or f"image {number}", content)


def from_json(body: bytes, most: int) -> list[Upload]:
    """Return the images of ``{"images": ["base64", …]}``."""
    # So few values are wanted that a text of very many is refused before it fills the memory.
    if body.count(b",") > 2 * most + 16 or body.count(b"[") + body.count(b"{") > most + 16:
        raise too_many(most)
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        raise Refused(400, "body", "the body is not valid JSON") from None
    images = value.get("images") if isinstance(value, dict) else None
    if not isinstance(images, list) or not images:
        raise Refused(400, "body", 'the body must be {"images": ["…base64…", …]}')
    if len(images) > most:
        raise too_many(most)
    return [from_base64(each, f"image {number}") for number, each in enumerate(images, 1)]


def from_base64(text: object, name: str) -> Upload:
    """Return an image that is sent as text: base64, or a ``data:`` address of it."""
    if not isinstance(text, str):
        raise Refused(400, "body", f"{name} must be text in base64")
    if text.startswith("data:"):
        head, _, text = text.partition(",")
        if not head.endswith(";base64"):
            raise Refused(400, "body", f"{name} is a data: address without ;base64")
    elif "://" in text[:20]:
        raise Refused(400, "url", f"{name} is an address, and none is fetched: send its bytes")
    try:
        return Upload(name, b64decode(text, validate=True))
    except (binascii.Error, ValueError):
        raise Refused(400, "body", f"{name} is not valid base64") from None


def too_many(most: int) -> Refused:
    """Return the refusal of a request with too many parts."""
    return Refused(413, "body", f"there are too many parts: at most {most} images at once")
