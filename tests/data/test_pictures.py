"""Pictures: the right images in the right places."""

import time

import numpy
import pytest
import torch

from convsmith.data import load_source
from convsmith.data.augment import Augment
from convsmith.data.images import Images
from convsmith.data.pictures import CELL, GAP, NAME, augmented, grid, samples, thumbnail


def test_samples_go_round_the_classes():
    images = load_source("digits", None).train
    found = samples(images, 10, 25)
    counts = images.labels[found].bincount(minlength=10)
    assert len(set(found.tolist())) == 25
    assert counts.max() - counts.min() <= 1
    assert images.labels[found][:10].tolist() == list(range(10))
    assert not torch.equal(found, samples(images, 10, 25, seed=1))


def test_few_images_are_all_shown():
    images = Images(torch.zeros(3, 1, 4, 4, dtype=torch.uint8), torch.tensor([1, 1, 0]))
    assert sorted(samples(images, 4, 8).tolist()) == [0, 1, 2]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(8, 8), (8, 4), (300, 200)])
def test_a_thumbnail_keeps_proportions_and_small_pixels_sharp(channels, size):
    pixels = torch.randint(0, 256, (channels, *size), dtype=torch.uint8)
    image = thumbnail(pixels, 64)
    assert max(image.size) == 64
    assert image.width / image.height == pytest.approx(size[1] / size[0], rel=0.03)
    if size == (8, 8):
        found = numpy.asarray(image)[::8, ::8].transpose(2, 0, 1)
        assert numpy.array_equal(found, numpy.broadcast_to(pixels.numpy(), (3, 8, 8)))


def test_each_image_stands_in_its_cell():
    pixels = torch.arange(6, dtype=torch.uint8).view(6, 1, 1, 1).expand(6, 1, 4, 4) * 40
    picture = numpy.asarray(grid([("first", pixels[:3]), ("second", pixels[3:])], ["a", "b", "c"]))
    margin = picture.shape[1] - 3 * (CELL + GAP)
    for number in range(6):
        row, column = divmod(number, 3)
        x = margin + column * (CELL + GAP) + CELL // 2
        y = 30 + row * (CELL + GAP) + CELL // 2
        assert picture[y, x].tolist() == [number * 40] * 3
    assert (picture[:, :margin].min(2) < 100).any()  # the names
    assert (picture[:28, margin:].min(2) < 100).any()  # the titles


def test_augmented_images_are_what_training_draws():
    images = load_source("digits", None).train
    pixels, _ = images.take(torch.arange(5))
    assert torch.equal(augmented(pixels, Augment(), 0), pixels)
    changed = augmented(pixels, Augment(crop=2, mixup=1.0, rotation=10), 0)
    assert changed.dtype == torch.uint8
    assert changed.shape == pixels.shape
    assert not torch.equal(changed, pixels)


def test_names_of_any_length_are_shortened_at_once():
    start = time.monotonic()
    pixels = torch.zeros(2, 1, 8, 8, dtype=torch.uint8)
    picture = grid([("long " * 2000, pixels)], ["c0" * 3000, "c1"])
    assert picture.width <= NAME + 2 * CELL + 6 * GAP
    assert time.monotonic() - start < 5
