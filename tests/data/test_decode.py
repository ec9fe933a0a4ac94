"""Turning image files into pixels: every kind, and what is no image."""

import io
import os
import pathlib
import re
import struct
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import get_args

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from convsmith.data.decode import decode
from convsmith.errors import DataError
from convsmith_runtime.decode import ROOM, Resize, Room, to_pixels

RAMP = numpy.arange(8 * 10 * 3, dtype=numpy.uint8).reshape(8, 10, 3)


def stored(image, tmp_path, kind="PNG", **options):
    path = tmp_path / f"image.{kind.lower()}"
    image.save(path, kind, **options)
    return path


def test_a_lossless_file_comes_back_pixel_for_pixel(tmp_path):
    path = stored(Image.fromarray(RAMP), tmp_path)
    found = decode(path, 3, (8, 10))
    assert found.dtype == torch.uint8
    assert found.permute(1, 2, 0).is_contiguous()
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
    monkeypatch.setattr("convsmith_runtime.decode.LARGEST", 79)
    with pytest.raises(DataError, match="too many"):
        decode(path, 3, (4, 4))


def test_a_large_jpeg_2000_file_is_decoded_at_a_half(tmp_path, monkeypatch):
    """Its decoder takes several times the memory of the others."""
    image = Image.fromarray(RAMP).resize((96, 64), Image.Resampling.BICUBIC)
    path = stored(image, tmp_path, "JPEG2000")
    expected = decode(path, 3, (32, 48)).float()
    monkeypatch.setattr("convsmith_runtime.decode.LARGEST", 2 * 96 * 64)
    sizes = []
    monkeypatch.setattr(
        "convsmith_runtime.decode.to_pixels",
        lambda image, *rest: sizes.append((image.load(), image.size)[1]) or to_pixels(image, *rest),
    )
    found = decode(path, 3, (32, 48)).float()
    assert sizes == [(48, 32)]
    assert (found - expected).abs().mean() < 3


def test_a_network_of_two_channels_takes_no_files(tmp_path):
    with pytest.raises(DataError, match="1 or 3 channels"):
        decode(stored(Image.fromarray(RAMP), tmp_path), 2, (4, 4))


def said_of(image, channels=3, size=(8, 8)):
    with pytest.raises(DataError) as caught:
        decode(image, channels, size)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("mode", ["L", "P", "RGB", "1"])
def test_a_stored_mode_is_what_pillow_converts_it_to(tmp_path, mode, channels):
    image = Image.fromarray(RAMP).convert(mode)
    found = decode(stored(image, tmp_path), channels, (8, 10))
    expected = numpy.asarray(image.convert("L" if channels == 1 else "RGB"))
    expected = expected[None] if channels == 1 else expected.transpose(2, 0, 1)
    assert numpy.array_equal(found.numpy(), expected)


def test_grey_weighs_the_colours_as_television_does(tmp_path):
    found = decode(stored(Image.fromarray(RAMP), tmp_path), 1, (8, 10))[0].double().numpy()
    expected = RAMP @ numpy.array([0.299, 0.587, 0.114])
    assert abs(found - expected).max() <= 1


def test_a_grey_image_has_three_equal_channels(tmp_path):
    found = decode(stored(Image.fromarray(RAMP[:, :, 0]), tmp_path), 3, (8, 10))
    for channel in found:
        assert numpy.array_equal(channel.numpy(), RAMP[:, :, 0])


@pytest.mark.parametrize("alpha", [0, 64, 128, 255])
@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_half_transparency_lets_half_of_the_white_through(tmp_path, mode, alpha):
    image = Image.new("RGBA", (3, 2), (50, 50, 50, alpha)).convert(mode)
    found = decode(stored(image, tmp_path), 3, (2, 3)).double()
    expected = (50 * alpha + 255 * (255 - alpha)) / 255
    assert (found - expected).abs().max() <= 1


@pytest.mark.parametrize("transparency", [0, b"\x00\xff"])
def test_a_transparent_entry_of_a_palette_becomes_white(tmp_path, transparency):
    image = Image.new("P", (2, 1))
    image.putpalette([200, 0, 0, 0, 0, 150])
    image.putpixel((1, 0), 1)
    path = stored(image, tmp_path, transparency=transparency)
    assert decode(path, 3, (1, 2))[:, 0].T.tolist() == [[255, 255, 255], [0, 0, 150]]


def test_a_transparent_colour_becomes_white(tmp_path):
    image = Image.new("RGB", (2, 1), (9, 8, 7))
    image.putpixel((1, 0), (1, 2, 3))
    path = stored(image, tmp_path, transparency=(9, 8, 7))
    assert decode(path, 3, (1, 2))[:, 0].T.tolist() == [[255, 255, 255], [1, 2, 3]]


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_files_of_sixteen_bits_keep_their_upper_eight(tmp_path, kind):
    values = numpy.arange(0, 65536, 257 * 4, dtype=numpy.uint16).reshape(8, 8)
    path = stored(Image.fromarray(values), tmp_path, kind)
    assert decode(path, 1, (8, 8))[0].tolist() == (values // 257).tolist()
    assert decode(path, 3, (8, 8))[2].tolist() == (values // 257).tolist()


def test_floats_that_are_no_numbers_are_black(tmp_path):
    values = numpy.array([[0, 255, numpy.nan, numpy.inf, -5]], dtype=numpy.float32)
    path = stored(Image.fromarray(values), tmp_path, "TIFF")
    assert decode(path, 1, (1, 5)).tolist() == [[[0, 255, 0, 0, 0]]]


@pytest.mark.parametrize(
    ("largest", "expected"), [(255, [0, 128, 255]), (65535, [0, 0, 255]), (131070, [0, 0, 255])]
)
def test_whole_numbers_of_32_bits_are_scaled_by_the_range_they_keep_to(largest, expected):
    image = Image.fromarray(numpy.array([[0, 128, largest]], dtype=numpy.int32))
    assert image.mode == "I"
    assert decode(image, 1, (1, 3)).tolist() == [[expected]]


def test_odd_metadata_does_not_reach_the_person(tmp_path, recwarn):
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "odd.jpg"
    Image.fromarray(RAMP).save(path, exif=exif.tobytes()[:20])
    assert decode(path, 3, (8, 8)).shape == (3, 8, 8)
    assert list(recwarn) == []


def test_an_end_of_the_file_that_pillow_only_notes_is_a_data_error(monkeypatch, tmp_path):
    path = stored(Image.fromarray(RAMP), tmp_path)

    def ends(image):
        raise EOFError("no more frames")

    monkeypatch.setattr(Image.Image, "load", ends)
    with pytest.raises(DataError, match="cannot be read: no more frames"):
        decode(path, 3, (8, 8))


def test_floats_beyond_bytes_are_scaled_by_their_largest(tmp_path):
    values = numpy.array([[0, 500, 1000]], dtype=numpy.float32)
    path = stored(Image.fromarray(values), tmp_path, "TIFF")
    assert decode(path, 1, (1, 3)).tolist() == [[[0, 128, 255]]]


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_four_inks_become_their_colours(tmp_path, kind):
    image = Image.new("CMYK", (8, 8), (255, 0, 0, 0))
    found = decode(stored(image, tmp_path, kind), 3, (8, 8)).int()
    assert (found - torch.tensor([0, 255, 255])[:, None, None]).abs().max() <= 3


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "TIFF"])
def test_cameras_files_of_every_kind_are_turned_upright(tmp_path, kind, orientation):
    """A white corner goes where EXIF says: rows and columns, as its standard names them."""
    corner = {1: "tl", 2: "tr", 3: "br", 4: "bl", 5: "tl", 6: "tr", 7: "br", 8: "bl"}[orientation]
    image = Image.new("L", (48, 32))
    image.paste(255, (0, 0, 16, 16))
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = stored(image.convert("RGB"), tmp_path, kind, exif=exif)
    size = (48, 32) if orientation >= 5 else (32, 48)
    found = decode(path, 1, size)[0]
    bright = (found > 128).nonzero().double().mean(0)
    assert ("b" in corner) == bool(bright[0] > size[0] / 2)
    assert ("r" in corner) == bool(bright[1] > size[1] / 2)
    assert int((found > 128).sum()) == pytest.approx(256, abs=40)


@pytest.mark.parametrize("size", [(3, 4), (16, 20), (10, 8), (1, 1)])
def test_resizing_is_pillows_with_height_before_width(tmp_path, size):
    image = Image.fromarray(RAMP)
    expected = image.resize((size[1], size[0]), Image.Resampling.BILINEAR)
    found = decode(stored(image, tmp_path), 3, size)
    assert found.shape == (3, *size)
    assert numpy.array_equal(found.permute(1, 2, 0).numpy(), numpy.asarray(expected))


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_many_frames_show_the_first(tmp_path, kind):
    frames = [Image.new("RGB", (6, 6), colour) for colour in ("lime", "blue", "red")]
    options = {"lossless": True} if kind == "WEBP" else {}
    path = stored(frames[0], tmp_path, kind, save_all=True, append_images=frames[1:], **options)
    assert decode(path, 3, (6, 6)).flatten(1).unique(dim=1).flatten().tolist() == [0, 255, 0]


def test_an_image_in_memory_is_decoded_as_its_file_and_left_as_it_was(tmp_path):
    image = Image.fromarray(RAMP).convert("RGBA")
    path, before = stored(image, tmp_path), image.tobytes()
    assert torch.equal(decode(image, 3, (5, 5)), decode(path, 3, (5, 5)))
    assert (image.tobytes(), image.mode, image.size) == (before, "RGBA", (10, 8))


def test_text_paths_and_open_files_are_taken(tmp_path):
    path = stored(Image.fromarray(RAMP), tmp_path)
    expected = decode(path, 3, (8, 10))
    assert torch.equal(decode(str(path), 3, (8, 10)), expected)
    with path.open("rb") as file:
        assert torch.equal(decode(file, 3, (8, 10)), expected)
        assert not file.closed


def test_the_pixels_belong_to_nobody_else(tmp_path):
    image = Image.fromarray(RAMP)
    decode(image, 3, (8, 10)).zero_()
    assert numpy.array_equal(numpy.asarray(image), RAMP)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM"])
def test_a_file_cut_off_anywhere_is_read_or_named_and_nothing_else(tmp_path, kind):
    noise = numpy.random.default_rng(0).integers(0, 256, (12, 12, 3), dtype=numpy.uint8)
    path = stored(Image.fromarray(noise), tmp_path, kind)
    content = path.read_bytes()
    refused = []
    for length in range(0, len(content), max(len(content) // 40, 1)):
        path.write_bytes(content[:length])
        try:
            # Pillow may warn of a short file before it refuses it
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)
                assert decode(path, 3, (4, 4)).shape == (3, 4, 4)
        except DataError as error:
            refused.append(str(error))
    assert len(refused) > 20
    assert all(path.name in said for said in refused)


@pytest.mark.parametrize("channels", [0, 2, 4])
def test_other_numbers_of_channels_are_refused_before_a_file_is_opened(tmp_path, channels):
    assert f"takes {channels}" in said_of(tmp_path / "none.png", channels)


def test_every_error_is_one_line_that_names_the_file(tmp_path):
    cut = stored(Image.fromarray(RAMP).resize((64, 64)), tmp_path, "JPEG")
    cut.write_bytes(cut.read_bytes()[:-200])
    text = tmp_path / "notes.txt"
    text.write_text("no image")
    (tmp_path / "folder").mkdir()
    for path, said in (
        (cut, "cannot be read"),
        (text, "is not an image"),
        (tmp_path / "folder", "is a folder"),
        (tmp_path / "none.jpeg", "is not there"),
    ):
        assert said in said_of(path)
        assert path.name in said_of(path)
        assert str(path) in said_of(str(path))


def test_a_bomb_is_refused_by_pillow_too(tmp_path, monkeypatch):
    path = stored(Image.fromarray(RAMP), tmp_path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 30)  # twice that is an error to Pillow
    assert "too many pixels" in said_of(path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 60)  # a warning, which is kept away
    assert decode(path, 3, (8, 8)).shape == (3, 8, 8)


def test_a_broken_orientation_is_ignored(tmp_path):
    for orientation in (0, 9, 1000):
        exif = Image.Exif()
        exif[0x0112] = orientation
        path = stored(Image.fromarray(RAMP), tmp_path, exif=exif)
        assert torch.equal(decode(path, 3, (8, 10)), torch.from_numpy(RAMP).permute(2, 0, 1))


def broken_exif(entries):
    """Return a JPEG whose EXIF holds raw entries of (tag, type, count, four bytes)."""
    body = b"".join(struct.pack("<HHI4s", *entry) for entry in entries)
    raw = b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + body + bytes(4)
    file = io.BytesIO()
    Image.fromarray(RAMP).save(file, "JPEG", exif=raw)
    return io.BytesIO(file.getvalue())


@pytest.mark.parametrize(
    "entry", [(0x100, 2, 2, b"a\0\0\0"), (0x10F, 11, 1, struct.pack("<f", 1.5))]
)
def test_broken_exif_is_no_reason_to_refuse_an_image(entry):
    image = broken_exif([entry, (0x112, 3, 1, struct.pack("<HH", 6, 0))])
    assert decode(image, 3, (8, 10)).shape == (3, 8, 10)


def test_a_format_that_pillow_knows_only_in_part_is_named(tmp_path):
    path = stored(Image.new("RGB", (4, 4)), tmp_path, "DDS")
    content = bytearray(path.read_bytes())
    content[80:84] = bytes(4)
    path.write_bytes(content)
    with pytest.raises(DataError, match=path.name):
        decode(path, 3, (4, 4))


@pytest.mark.parametrize("kind", [str, pathlib.Path])
def test_a_file_is_named_with_its_folder(tmp_path, kind):
    with pytest.raises(DataError, match=re.escape(str(tmp_path / "none.png"))):
        decode(kind(tmp_path / "none.png"), 3, (4, 4))


@settings(deadline=None, max_examples=300)
@given(
    st.integers(1, 700),
    st.integers(1, 700),
    st.tuples(st.integers(1, 300), st.integers(1, 300)),
    st.sampled_from(get_args(Resize)),
)
def test_any_size_becomes_any_other_in_every_way(width, height, size, resize):
    image = Image.new("L", (width, height), 90)
    found = decode(image, 1, size, resize)
    assert found.shape == (1, *size)
    if resize != "pad":
        assert found.unique().tolist() == [90]


def test_cropping_keeps_the_middle_and_padding_keeps_all():
    image = Image.new("RGB", (30, 10), (200, 0, 0))
    image.paste((0, 200, 0), (10, 0, 20, 10))
    cropped = decode(image, 3, (10, 10), "crop")
    assert torch.equal(cropped[1], torch.full((10, 10), 200, dtype=torch.uint8))
    padded = decode(image, 3, (30, 30), "pad")
    assert padded[:, :10].max() == padded[:, 20:].max() == 0
    assert padded[1, 10:20, 10:20].min() == 200
    assert padded[0, 10:20, :10].min() == 200


def test_a_large_photograph_is_read_at_a_part_of_its_size_and_looks_the_same(tmp_path):
    draw = numpy.random.default_rng(0)
    small = Image.fromarray(draw.integers(0, 256, (20, 30, 3), dtype=numpy.uint8))
    path = tmp_path / "large.jpg"
    small.resize((2400, 1600), Image.Resampling.BICUBIC).save(path, quality=95)
    found = decode(path, 3, (40, 60)).float()
    with Image.open(path) as opened:
        expected = opened.resize((60, 40), Image.Resampling.BILINEAR)
    whole = torch.from_numpy(numpy.array(expected)).permute(2, 0, 1).float()
    assert (found - whole).abs().mean() < 2


def test_an_image_that_is_given_stays_as_it_is():
    exif = Image.Exif()
    exif[0x0112] = 6
    file = io.BytesIO()
    Image.fromarray(RAMP).save(file, "JPEG", exif=exif)
    image = Image.open(file)
    before = image.size, image.tobytes()
    decode(image, 3, (5, 5))
    assert (image.size, image.tobytes()) == before


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no such pipes")
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(DataError, match=r"pipe\.png is a pipe, not a file"):
        decode(tmp_path / "pipe.png", 3, (4, 4))


def test_only_so_many_pixels_are_decoded_at_once():
    room, lock, now, most = Room(100), threading.Lock(), [0], [0]

    def take(pixels):
        with room.taking(pixels):
            with lock:
                now[0] += pixels
                most[0] = max(most[0], now[0])
            time.sleep(0.002)
            with lock:
                now[0] -= pixels

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(take, [30, 60, 90, 20, 10, 40] * 10))
        assert 60 < most[0] <= 100
        pool.submit(take, 1000).result(timeout=10)  # alone, more than the room has goes through


def test_the_room_is_free_again_after_a_failure(tmp_path):
    path = tmp_path / "cut.png"
    Image.new("RGB", (200, 200), "red").save(path)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(DataError):
        decode(path, 3, (4, 4))
    assert ROOM._free == ROOM._all
