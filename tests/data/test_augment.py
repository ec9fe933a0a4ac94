"""Augmentation against torchvision, one image at a time; and drawn apart from applied."""

import itertools
import math
from dataclasses import fields

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as reference
from torchvision.transforms.v2.functional import pil_to_tensor, to_pil_image

from convsmith.data import geometry, load_source
from convsmith.data.augment import IDENTITY, LEVELS, MOVES, Augment, Drawn, moved
from convsmith.data.geometry import affine
from convsmith.data.images import Images, Source
from convsmith.randomness import generator

PIXELS = torch.randint(0, 256, (20, 3, 12, 16), dtype=torch.uint8)
ALL = Augment(
    crop=2,
    flip=0.5,
    resized_crop=0.3,
    rotation=20,
    translation=0.1,
    zoom=0.2,
    brightness=0.3,
    contrast=0.3,
    saturation=0.3,
    hue=0.1,
    cutout=0.5,
    random_operations=3,
    magnitude=0.5,
)


def draw(augment, seed=0, count=20, size=(12, 16)):
    return augment.draw(generator(seed, "test"), count, size)


def test_no_strength_is_no_change():
    augment = Augment()
    drawn = draw(augment)
    assert set(drawn) == {None}
    assert augment.apply(PIXELS, drawn) is PIXELS


def test_a_crop_is_a_slice_of_the_padded_image():
    augment = Augment(crop=3)
    drawn = draw(augment)
    found = augment.apply(PIXELS, drawn)
    assert found.dtype == torch.uint8
    padded = torch.nn.functional.pad(PIXELS, [3] * 4)
    for index, (top, left) in enumerate(zip(drawn.top, drawn.left, strict=True)):
        expected = padded[index, :, top : top + 12, left : left + 16]
        assert torch.equal(found[index], expected)
    assert set(drawn.top.tolist()) <= set(range(7))


def test_a_flip_mirrors_the_chosen_images_only():
    augment = Augment(flip=0.5)
    drawn = draw(augment)
    found = augment.apply(PIXELS, drawn)
    assert 0 < drawn.flip.sum() < 20
    for index, flipped in enumerate(drawn.flip):
        expected = reference.horizontal_flip(PIXELS[index]) if flipped else PIXELS[index]
        assert torch.equal(found[index], expected)


@pytest.mark.parametrize("angle", [0.0, 7.0, -33.0, 90.0])
@pytest.mark.parametrize("size", [(12, 12), (12, 16), (17, 9)])
def test_a_rotation_is_torchvisions_whatever_the_proportions(angle, size):
    images = torch.randint(0, 256, (2, 3, *size)).float()
    matrices = affine(torch.full((2,), math.radians(angle)), torch.zeros(2, 2), size)
    drawn = draw(Augment(rotation=1), count=2, size=size)
    object.__setattr__(drawn, "matrices", matrices)
    found = Augment(rotation=1).apply(images, drawn)
    expected = reference.rotate(images, angle, InterpolationMode.BILINEAR)
    # torchvision fills a pixel outside by a mask of its own: the rim may differ
    inside = torch.ones(1, 1, *size)
    inside = reference.rotate(inside, angle, InterpolationMode.BILINEAR) > 0.999
    inside = inside.expand_as(found)
    torch.testing.assert_close(found[inside], expected[inside], rtol=1e-3, atol=0.05)


@pytest.mark.parametrize("shift", [(0, 3), (2, 0), (-4, 5)])
def test_a_translation_by_whole_pixels_moves_whole_pixels(shift):
    rows, columns = shift
    images = torch.randint(0, 256, (1, 1, 12, 16)).float()
    shifts = torch.tensor([[-2 * columns / 16], [-2 * rows / 12]])
    drawn = draw(Augment(translation=0.1), count=1)
    object.__setattr__(drawn, "matrices", affine(torch.zeros(1), shifts, (12, 16)))
    found = Augment(translation=0.1).apply(images, drawn)
    expected = reference.affine(images, 0, [columns, rows], 1, [0.0])
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=0.01)


def test_strengths_are_limits_that_are_reached():
    size = (100, 100)
    matrices = Augment(rotation=30).draw(generator(0, "x"), 2000, size).matrices
    angles = torch.atan2(matrices[:, 1, 0], matrices[:, 0, 0]).rad2deg()
    assert angles.abs().max() <= 30.001
    assert angles.max() > 29
    assert angles.min() < -29
    shifts = Augment(translation=0.2).draw(generator(0, "x"), 2000, size).matrices[:, :, 2] / 2
    assert shifts.abs().max() <= 0.2001
    assert shifts.max() > 0.19


@settings(deadline=None)
@given(start=st.integers(0, 20), stop=st.integers(0, 20), seed=st.integers(0, 5))
def test_a_slice_of_what_was_drawn_gives_that_slice_of_the_result(start, stop, seed):
    drawn, part = draw(ALL, seed), slice(start, stop)
    whole = ALL.apply(PIXELS, drawn)
    if start < stop:
        torch.testing.assert_close(ALL.apply(PIXELS[part], drawn[part]), whole[part])


def test_equal_generators_draw_alike_and_others_do_not():
    first, again, other = draw(ALL), draw(ALL), draw(ALL, 1)
    pairs = [(a, b, c) for a, b, c in zip(first, again, other, strict=True) if a is not None]
    assert len(pairs) == len(fields(Drawn)) - 1  # boxes are part of the matrices here
    assert all(torch.equal(a, b) for a, b, _ in pairs)
    assert not any(torch.equal(a, c) for a, _, c in pairs)


def test_a_level_flips_only_what_keeps_its_label():
    images = Images(PIXELS, torch.zeros(20, dtype=torch.int64))
    for mirrored in (True, False):
        source = Source("x", ("a", "b"), images, images, mirrored=mirrored)
        light = LEVELS["light"](source)
        assert light == Augment(crop=1, flip=0.5 if mirrored else 0.0)
        assert LEVELS["none"](source) == Augment()


@pytest.mark.parametrize("angle", [5.0, -20.0, 61.0])
@pytest.mark.parametrize("shift", [(0.0, 0.0), (2.0, -1.0), (-3.5, 1.25)])
@pytest.mark.parametrize("size", [(14, 14), (12, 18)])
def test_a_rotation_with_a_translation_is_torchvisions(angle, shift, size):
    """Ours maps the result to the image, x -> Rx + t; theirs turns first: T = -R't."""
    height, width = size
    columns, rows = shift
    shifts = torch.tensor([[2 * columns / width], [2 * rows / height]])
    matrices = affine(torch.tensor([math.radians(angle)]), shifts, size)
    cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    moved = [-(cos * columns + sin * rows), -(-sin * columns + cos * rows)]
    images = torch.randint(0, 256, (1, 3, *size)).float()
    found = Augment(rotation=1).apply(images, Drawn(matrices=matrices))
    expected = reference.affine(
        images, -angle, moved, 1, [0.0], interpolation=InterpolationMode.BILINEAR
    )
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=0.05)


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_quarter_turn_of_a_square_only_moves_pixels(turns):
    images = torch.randint(0, 256, (2, 3, 9, 9)).float()
    matrices = affine(torch.full((2,), turns * math.pi / 2), torch.zeros(2, 2), (9, 9))
    found = Augment(rotation=1).apply(images, Drawn(matrices=matrices))
    torch.testing.assert_close(found, images.rot90(turns, (2, 3)), rtol=0, atol=0.01)


@pytest.mark.parametrize("size", [(41, 41), (41, 81), (81, 41)])
@pytest.mark.parametrize("angle", [15, 30, 45])
def test_a_line_is_turned_by_its_angle_whatever_the_proportions(size, angle):
    height, width = size
    image = torch.zeros(1, 1, height, width)
    image[0, 0, height // 2, width // 2 : width // 2 + 18] = 255
    matrices = affine(torch.tensor([math.radians(angle)]), torch.zeros(2, 1), size)
    found = Augment(rotation=1).apply(image, Drawn(matrices=matrices))[0, 0]
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    up = float((found * (height // 2 - rows)).sum() / found.sum())
    right = float((found * (columns - width // 2)).sum() / found.sum())
    assert math.degrees(math.atan2(up, right)) == pytest.approx(angle, abs=0.5)
    assert math.hypot(up, right) == pytest.approx(8.5, abs=0.2)


def test_a_crop_is_black_outside_and_every_corner_is_drawn():
    augment = Augment(crop=2)
    drawn = draw(augment, count=2000)
    corners = set(zip(drawn.top.tolist(), drawn.left.tolist(), strict=True))
    assert corners == {(row, column) for row in range(5) for column in range(5)}
    white = torch.full((2000, 1, 12, 16), 255, dtype=torch.uint8)
    found = augment.apply(white, drawn)
    seen = (12 - (drawn.top - 2).abs()) * (16 - (drawn.left - 2).abs())
    assert torch.equal((found == 255).sum((1, 2, 3)), seen)
    assert set(found.unique().tolist()) == {0, 255}


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("kind", [torch.uint8, torch.float32])
def test_a_crop_then_a_flip_is_a_loop_over_slices(layout, kind):
    pixels = PIXELS.to(kind).to(memory_format=layout)
    augment = Augment(crop=5, flip=0.5)
    drawn = draw(augment)
    found = augment.apply(pixels, drawn)
    assert found.dtype == kind
    for index in range(20):
        big = torch.zeros(3, 22, 26, dtype=kind)
        big[:, 5:17, 5:21] = pixels[index]
        top, left = int(drawn.top[index]), int(drawn.left[index])
        expected = big[:, top : top + 12, left : left + 16]
        expected = expected.flip(2) if drawn.flip[index] else expected
        assert torch.equal(found[index], expected)


def test_a_flip_that_is_certain_mirrors_everything():
    augment = Augment(flip=1.0)
    assert torch.equal(augment.apply(PIXELS, draw(augment)), PIXELS.flip(3))


def test_an_angle_of_nearly_nothing_changes_nearly_nothing():
    augment = Augment(rotation=1e-6)
    found = augment.apply(PIXELS, draw(augment))
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, PIXELS.float(), rtol=0, atol=0.01)


def test_the_images_given_are_left_as_they_were():
    before = PIXELS.clone()
    ALL.apply(PIXELS, draw(ALL))
    assert torch.equal(PIXELS, before)


def test_a_draw_leaves_the_global_random_numbers_alone():
    state = torch.get_rng_state()
    draw(ALL)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_zoom_is_torchvisions_scale():
    images = torch.randint(0, 256, (1, 3, 20, 20)).float()
    matrices = affine(torch.zeros(1), torch.zeros(2, 1), (20, 20), torch.tensor([1.3]))
    found = Augment(zoom=0.5).apply(images, Drawn(matrices=matrices))
    expected = reference.affine(
        images, 0, [0, 0], 1.3, [0.0], interpolation=InterpolationMode.BILINEAR
    )
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=0.05)


def test_factors_stay_within_their_limits_and_reach_them():
    augment = Augment(brightness=0.2, hue=0.1)
    factors = draw(augment, count=2000).factors
    assert factors[:, 0].min() == pytest.approx(0.8, abs=0.01)
    assert factors[:, 0].max() == pytest.approx(1.2, abs=0.01)
    assert factors[:, 1].unique().tolist() == [1.0]  # no contrast was asked for
    assert factors[:, 3].abs().max() == pytest.approx(0.1, abs=0.005)


def test_a_hole_is_a_square_of_the_images_mean():
    augment = Augment(cutout=0.5)
    drawn = draw(augment, count=200)
    pixels = PIXELS[:1].expand(200, -1, -1, -1)
    found = augment.apply(pixels, drawn)
    mean = PIXELS[0].float().mean((1, 2))
    whole = 0
    for image, (top, left, bottom, right) in zip(found, drawn.holes.tolist(), strict=True):
        assert (bottom - top, right - left) == (6, 6)
        rows, columns = slice(max(top, 0), max(bottom, 0)), slice(max(left, 0), max(right, 0))
        expected = PIXELS[0].float()
        expected[:, rows, columns] = mean[:, None, None]
        torch.testing.assert_close(image, expected)
        whole += top >= 0 and bottom <= 12 and left >= 0 and right <= 16
    assert 0 < whole < 200  # holes may hang over the border


@pytest.mark.parametrize("size", [(64, 64), (60, 100), (1, 2)])
def test_a_resized_crop_shows_a_part_of_that_area(size):
    boxes = draw(Augment(resized_crop=0.25), count=2000, size=size).boxes
    height, width = (boxes[:, 2:] - boxes[:, :2]).unbind(1)
    assert boxes.min() == 0
    assert boxes.amax(0)[2:].tolist() == list(size)  # never outside, and up to the last pixel
    assert min(height.min(), width.min()) >= 1
    if size != (1, 2):
        area = height * width / (size[0] * size[1])
        assert 0.18 < area.min() < 0.3  # the proportions of a large one are cut to fit
        assert area.max() > 0.95


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(40, 40), (30, 52)])
def test_a_resized_crop_is_pillows(channels, size):
    pixels = torch.randint(0, 256, (30, channels, *size), dtype=torch.uint8)
    augment = Augment(resized_crop=0.3, flip=0.5)
    drawn = draw(augment, count=30, size=size)
    found = augment.apply(pixels, drawn)
    assert found.dtype == torch.uint8
    for image, result, (top, left, bottom, right), mirrored in zip(
        pixels, found, drawn.boxes.tolist(), drawn.flip, strict=True
    ):
        part = to_pil_image(image).crop((left, top, right, bottom))
        part = part.resize(size[::-1], Image.Resampling.BILINEAR)
        expected = pil_to_tensor(ImageOps.mirror(part) if mirrored else part)
        assert (result.int() - expected.int()).abs().max() <= 1


@pytest.mark.parametrize("size", [(40, 40), (30, 52), (1, 2)])
def test_a_resized_crop_is_the_same_where_all_images_are_sampled_at_once(size):
    """As on a GPU."""
    pixels = torch.randint(0, 256, (30, 3, *size)).float()
    drawn = draw(Augment(resized_crop=0.3, flip=0.5), count=30, size=size)
    for flip in (None, drawn.flip):
        at_once = geometry.enlarge_at_once(pixels, drawn.boxes, flip)
        found = geometry.enlarge(pixels, drawn.boxes, flip)
        torch.testing.assert_close(found, at_once, rtol=0, atol=0.02)


def test_a_resized_crop_that_is_turned_too_is_one_resampling():
    turned = draw(Augment(resized_crop=0.3, rotation=1e-6))
    assert turned.boxes is None
    boxes = draw(Augment(resized_crop=0.3)).boxes
    pixels = torch.randint(0, 256, (20, 3, 12, 16)).float()
    inner = (slice(None), slice(None), slice(2, -2), slice(2, -2))
    found = geometry.resample(pixels, geometry.showing(boxes, (12, 16))[:, :2])[inner]
    assert (found - geometry.enlarge(pixels, boxes)[inner]).abs().mean() < 5


def test_every_random_operation_is_drawn_and_changes_something():
    augment = Augment(random_operations=1, magnitude=0.8)
    pixels = torch.randint(20, 200, (600, 3, 32, 32), dtype=torch.uint8)
    drawn = draw(augment, count=600, size=(32, 32))
    changed = (augment.apply(pixels, drawn) - pixels).abs().amax((1, 2, 3)) > 1
    for operation in range(IDENTITY + 1):
        chosen = drawn.operations[:, 0] == operation
        assert chosen.sum() > 20
        assert changed[chosen].all() == (operation != IDENTITY), operation


@pytest.mark.parametrize("magnitude", [0.3, -1.0])
def test_random_operations_are_torchvisions_at_their_strengths(magnitude):
    """The numbers on the right are RandAugment's largest strengths, as torchvision has them."""
    images, bilinear = PIXELS[:1].repeat(1, 1, 2, 2), InterpolationMode.BILINEAR
    factor, size = 1 + 0.9 * magnitude, (24, 32)

    def shifted(columns, rows):
        return reference.affine(
            images.float(), 0, [columns, rows], 1, [0, 0], interpolation=bilinear
        )

    def sheared(right, down):
        angles = [math.degrees(math.atan(right)), math.degrees(math.atan(down))]
        return reference.affine(images.float(), 0, [0, 0], 1, angles, interpolation=bilinear)

    moves = [
        (reference.rotate(images.float(), side * 30 * magnitude, bilinear) for side in (1, -1)),
        (sheared(side * 0.3 * magnitude, 0) for side in (1, -1)),
        (sheared(0, side * 0.3 * magnitude) for side in (1, -1)),
        (shifted(side * 150 / 331 * 32 * magnitude, 0) for side in (1, -1)),
        (shifted(0, side * 150 / 331 * 24 * magnitude) for side in (1, -1)),
    ]
    colours = [
        255 * reference.adjust_brightness(images / 255, factor),
        255 * reference.adjust_contrast(images / 255, factor),
        255 * reference.adjust_saturation(images / 255, factor),
        255 * reference.adjust_sharpness(images / 255, factor),
        reference.posterize(images, 8 - round(4 * abs(magnitude))),
        reference.solarize(images, 256 * (1 - abs(magnitude))),
        255 * reference.autocontrast(images / 255),
        reference.equalize(images),
    ]
    assert len(moves) == MOVES
    for number, either in enumerate([*moves, *((each,) for each in colours), (images,)]):
        operations, signed = torch.tensor([[number]]), torch.tensor([[magnitude]])
        matrices = moved(operations, signed, size)[:, :2] if number < MOVES else None
        drawn = Drawn(matrices=matrices, operations=operations, signed=signed)
        found = Augment(random_operations=1).apply(images, drawn)
        off = [float((found - each.float()).abs().mean()) for each in either]
        assert min(off) < 0.1, (number, off)


@pytest.mark.parametrize("level", ["moderate", "strong"])
def test_levels_suit_the_data(level):
    digits, moons = load_source("digits", None), load_source("moons", None)
    chosen = LEVELS[level](digits)
    assert (chosen.flip, chosen.saturation, chosen.hue) == (0, 0, 0)
    assert chosen.brightness > 0
    assert LEVELS[level](moons) == Augment()
    large = Images(torch.zeros(4, 3, 96, 96, dtype=torch.uint8), torch.zeros(4))
    photographs = LEVELS[level](Source("x", ("a", "b"), large, large, mirrored=True))
    assert photographs.crop == 0
    assert photographs.resized_crop == photographs.flip == 0.5
    assert photographs.saturation > 0


def test_levels_rise():
    source = load_source("digits", None)
    levels = [LEVELS[name](source) for name in ("none", "light", "moderate", "strong")]
    for lower, higher in itertools.pairwise(levels):
        assert lower != higher
        for field in fields(Augment):
            assert getattr(higher, field.name) >= getattr(lower, field.name), field.name


@pytest.mark.parametrize("drawn", ["all", "flip", "none"])
def test_large_images_are_cropped_like_small_ones(monkeypatch, drawn):
    draw = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (9, 3, 20, 24), dtype=torch.uint8, generator=draw)
    top, left = torch.randint(0, 7, (2, 9), generator=draw)
    flip = torch.arange(9) % 2 == 0
    given = {"all": (3, top, left, flip), "flip": (0, None, None, flip), "none": (2, None, None)}
    small = geometry.crop(pixels, *given[drawn])
    monkeypatch.setattr(geometry, "LARGE", 1)
    large = geometry.crop(pixels, *given[drawn])
    assert torch.equal(small, large)
    assert small.stride() == large.stride()
