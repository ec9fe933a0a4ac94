"""Broken, strange and hostile requests: a reason each, never a failure of the server."""

import io
import random
import socket
import zipfile
from contextlib import suppress

import numpy
import pytest
from PIL import Image, features
from tests.data.test_files import zoo
from tests.runtime.http.builders import SIZE, png

from convsmith_runtime.errors import ImageError
from convsmith_runtime.http.checks import FORMATS, read_upload
from convsmith_runtime.http.uploads import Upload

# Sound files that are of other formats than the server reads, or larger.
LARGEST = 20 * 2**20  # bytes of a request
NOT_SERVED = ("jp2", "tga", "ico", "pcx", "sgi", "dib", "ppm", "pnm", "pgm", "pbm")


def read(content, largest=50_000_000):
    return read_upload(Upload("the file", content), 3, (SIZE, SIZE), "stretch", largest)


def test_forty_kinds_of_files_are_answered_or_refused_with_a_reason(client, tmp_path):
    sound, broken = zoo(tmp_path)
    checked = 0
    for name in [*sound, *broken]:
        path = tmp_path / "a" / name
        if not path.is_file() or path.stat().st_size > LARGEST:  # asked by a test of its own
            continue
        checked += 1
        answer = client.post("/v1/predict", files={"image": (name, path.read_bytes())})
        served = name in sound and not name.endswith(NOT_SERVED) and name != "large.png"
        assert answer.status_code == (200 if served else 422), f"{name}: {answer.text}"
        if not served:
            reason = answer.json()["error"]["images"][0]["reason"]
            assert reason.startswith(name), reason
            assert "\n" not in reason
    assert checked >= 40


def zipped():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("Main.class", b"\xca\xfe\xba\xbe")
    return file.getvalue()


def with_comment(text):
    file = io.BytesIO()
    Image.new("RGB", (9, 9)).save(file, "JPEG", comment=text)
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "also"),
    [
        (png() + zipped(), "a ZIP archive"),
        (png(kind="JPEG") + zipped() + b"", "a ZIP archive"),
        (png(kind="GIF") + b"Rar!\x1a\x07\x01\x00", "a RAR archive"),
        (png() + b"7z\xbc\xaf\x27\x1c\x00\x04", "a 7z archive"),
        (with_comment(b"%PDF-1.7\n1 0 obj"), "a PDF document"),
        (with_comment(b"<script>alert(1)</script>"), "a web page"),
        (with_comment(b"<!DOCTYPE html>"), "a web page"),
        (with_comment(b"<?php system($_GET[0]); ?>"), "a program in PHP"),
        (b"GIF89a/*" + png(kind="GIF")[8:] + b"<html>", "a web page"),
    ],
)
def test_a_file_that_is_two_things_is_refused(content, also):
    with pytest.raises(ImageError, match=f"the file is {also} as well as an image"):
        read(content)


DRAWING = b'<svg xmlns="http://www.w3.org/2000/svg"><script>1</script><circle r="9"/></svg>'


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (DRAWING, "a drawing in SVG"),
        (b'\xef\xbb\xbf<?xml version="1.0"?>\n<!-- drawn -->\n' + DRAWING, "a drawing in SVG"),
        (b'<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN">' + DRAWING, "a drawing in SVG"),
        (b"\n<!DOCTYPE html><html><body>" + DRAWING, "a web page"),
        (b"<?php echo 1; ?>", "a program in PHP"),
        (b"%PDF-1.7\n1 0 obj", "a PDF document"),
        (zipped(), "a ZIP archive"),
        (b"Rar!\x1a\x07\x01\x00", "a RAR archive"),
        (b"7z\xbc\xaf\x27\x1c\x00\x04", "a 7z archive"),
    ],
)
def test_a_file_of_another_kind_is_called_that_and_the_formats_are_named(content, kind):
    with pytest.raises(ImageError, match=f"^the file is {kind}; the images that are read are AVIF"):
        read(content)


def test_photographs_with_more_in_them_are_sound():
    frames = [Image.new("RGB", (30, 20), colour) for colour in ("red", "blue")]
    several = io.BytesIO()
    frames[0].save(several, "MPO", save_all=True, append_images=frames[1:])
    film = png(kind="JPEG") + b"\x00\x00\x00\x18ftypmp42" + bytes(range(256)) * 40
    xmp = png(kind="JPEG", xmp=b'<?xpacket begin=""?><x:xmpmeta xmlns:x="adobe:ns:meta/"/>')
    for content in (several.getvalue(), film, xmp, png(pnginfo=None)):
        assert read(content).shape == (3, SIZE, SIZE)


def test_programs_that_pillow_would_start_are_not():
    assert not {"EPS", "PDF", "WMF", "PSD", "FITS"} & set(FORMATS)
    postscript = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n"
    with pytest.raises(ImageError, match="not an image that can be read"):
        read(postscript)


def test_a_bomb_is_refused_before_it_is_unpacked():
    jpeg = bytearray(png(kind="JPEG"))
    place = jpeg.index(b"\xff\xc0") + 5  # height and width, in the head of the frame
    jpeg[place : place + 4] = b"\x1f\x40\x1b\x58"
    for bomb in (png(0, (8_000, 7_000), "L"), bytes(jpeg)):
        with pytest.raises(ImageError, match=r"limit is 50,000,000 in all|too many pixels"):
            read(bomb)


@pytest.mark.parametrize("kind", FORMATS)
def test_the_limit_of_pixels_is_exact(kind):
    if kind == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    content = png(kind=kind)
    assert read(content, largest=400).shape == (3, SIZE, SIZE)
    with pytest.raises(ImageError, match="has 20x20 pixels, and the limit is 399 in all"):
        read(content, largest=399)


@pytest.mark.parametrize("kind", FORMATS)
def test_damaged_files_of_every_format_are_read_or_refused(kind):
    if kind == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    draw = random.Random(kind)
    noise = numpy.random.default_rng(0).integers(0, 256, (24, 31, 3), dtype=numpy.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).save(file, kind)
    whole = file.getvalue()
    refused = 0
    for _ in range(150):
        content = bytearray(whole)
        for _ in range(draw.randint(1, 6)):
            place = draw.randrange(min(len(content), 400) if draw.random() < 0.7 else len(content))
            content[place] = draw.choice([0, 1, 127, 128, 255, draw.randrange(256)])
        if draw.random() < 0.3:
            del content[draw.randrange(1, len(content)) :]
        try:
            pixels = read(bytes(content))
        except ImageError:
            refused += 1
        else:
            assert pixels.shape == (3, SIZE, SIZE)
    assert refused > 10


RAW = [
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64),  # TLS
    b"GET /\r\n\r\n",
    b"\r\n\r\n\r\n\r\n",
    b"POST /v1/predict HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
    b"POST /v1/predict HTTP/1.1\r\nHost: a\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n",
    b"POST /v1/predict HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
    b"POST /v1/predict HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
    b"GET /v1/model HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 2_000_000 + b"\r\n\r\n",
    b"GET /%00%ff/../../etc/passwd HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /v1/predict HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    b"GET /v1/examples/..%2f..%2fmodel.onnx HTTP/1.1\r\nHost: a\r\n\r\n",
]


@pytest.mark.parametrize("number", range(len(RAW)))
def test_what_is_no_proper_request_is_refused(url, client, number):
    port = int(url.rpartition(":")[2])
    answer = b""
    raw = socket.create_connection(("127.0.0.1", port), 1)
    with raw, suppress(ConnectionError, TimeoutError):  # it hangs up, or waits for the rest
        raw.sendall(RAW[number])
        answer = raw.recv(200)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 4"), answer
    assert client.get("/readyz").status_code == 200
