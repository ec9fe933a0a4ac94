"""Turning image files into pixels: every kind, and what is no image."""

import io

import numpy
import pytest
import torch
from PIL import Image

from convsmith.data.decode import decode
from convsmith.errors import DataError

RAMP = numpy.arange(8 * 10 * 3, dtype=numpy.uint8).reshape(8, 10, 3)


def stored(image, tmp_path, kind="PNG", **options):
    path = tmp_path / f"image.{kind.lower()}"
    image.save(path, kind, **options)
    return path


def test_a_lossless_file_comes_back_pixel_for_pixel(tmp_path):
    path = stored(Image.fromarray(RAMP), tmp_path)
    found = decode(path, 3, (8, 10))
    assert found.dtype == torch.uint8
    assert found.is_contiguous()
    assert torch.equal(found, torch.from_numpy(RAMP).permute(2, 0, 1))


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA", "CMYK", "HSV", "I", "F"])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_mode_becomes_the_networks_channels(mode, channels):
    image = Image.fromarray(RAMP).convert("RGB" if mode == "HSV" else mode)
    image = image.convert(mode)
    assert decode(image, channels, (4, 5)).shape == (channels, 4, 5)


def test_sixteen_bits_are_scaled_not_cut_off():
    image = Image.fromarray(numpy.array([[0, 257, 32896, 65535]], dtype=numpy.uint16))
    assert decode(image, 1, (1, 4)).tolist() == [[[0, 1, 128, 255]]]


def test_transparency_is_laid_on_white():
    image = Image.new("RGBA", (2, 1), (0, 0, 0, 0))
    image.putpixel((1, 0), (10, 20, 30, 255))
    assert decode(image, 3, (1, 2))[:, 0].T.tolist() == [[255, 255, 255], [10, 20, 30]]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_image_is_turned_as_its_camera_says(tmp_path, orientation):
    turns = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    upright = Image.fromarray(RAMP)
    turned = upright.transpose(turns[orientation]) if orientation in turns else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = stored(turned, tmp_path, exif=exif)
    assert torch.equal(decode(path, 3, (8, 10)), decode(upright, 3, (8, 10)))


def test_an_animation_shows_its_first_frame(tmp_path):
    first, second = (Image.new("RGB", (4, 4), colour) for colour in ("red", "blue"))
    path = stored(first, tmp_path, "GIF", save_all=True, append_images=[second])
    assert decode(path, 3, (4, 4))[:, 0, 0].tolist() == [255, 0, 0]


def test_an_open_file_is_read_too(tmp_path):
    path = stored(Image.fromarray(RAMP), tmp_path)
    assert torch.equal(decode(io.BytesIO(path.read_bytes()), 3, (8, 10)), decode(path, 3, (8, 10)))


def test_resizing_smooths():
    board = Image.fromarray((numpy.indices((64, 64)).sum(0) % 2 * 255).astype(numpy.uint8))
    assert decode(board, 1, (8, 8)).float().std() < 10


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("text.png", b"hello", "is not an image"),
        ("empty.png", b"", "is not an image"),
        ("header.png", b"\x89PNG\r\n\x1a\n" + bytes(30), "image"),
        ("none.png", None, "is not there"),
    ],
)
def test_what_is_no_image_is_named(tmp_path, name, content, said):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=name) as caught:
        decode(tmp_path / name, 3, (4, 4))
    assert said in str(caught.value)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP"])
def test_a_file_that_is_cut_off_is_named(tmp_path, kind):
    noise = numpy.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=numpy.uint8)
    path = stored(Image.fromarray(noise), tmp_path, kind)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DataError, match=path.name):
        decode(path, 3, (8, 8))


def test_a_folder_and_a_bomb_are_refused(tmp_path, monkeypatch):
    with pytest.raises(DataError, match="is a folder"):
        decode(tmp_path, 3, (4, 4))
    path = stored(Image.fromarray(RAMP), tmp_path)
    monkeypatch.setattr("convsmith.data.decode.LARGEST", 79)
    with pytest.raises(DataError, match="too many"):
        decode(path, 3, (4, 4))


def test_a_network_of_two_channels_takes_no_files(tmp_path):
    with pytest.raises(DataError, match="1 or 3 channels"):
        decode(stored(Image.fromarray(RAMP), tmp_path), 2, (4, 4))
