"""Data sets in memory at other sizes and with other channels."""

import numpy
import pytest
import torch
from PIL import Image

from convsmith.data import Reading, load_source
from convsmith.errors import DataError


def test_sizes_and_channels_become_those_that_are_asked_for():
    source = load_source("digits", None, Reading((20, 16), 3))
    assert source.train.pixels.shape == (1438, 3, 20, 16)
    assert source.test.pixels.shape == (359, 3, 20, 16)
    pixels = source.train.pixels
    assert torch.equal(pixels[:, 0], pixels[:, 2])
    own = load_source("digits", None)
    assert torch.equal(source.train.labels, own.train.labels)


@pytest.mark.parametrize("size", [(5, 5), (16, 24)])
def test_resizing_is_pillows(size):
    source = load_source("digits", None, Reading(size))
    original, _ = load_source("digits", None).train.take(slice(0, 20))
    for found, image in zip(source.train.pixels, original, strict=False):
        resized = Image.fromarray(image[0].numpy()).resize(size[::-1], Image.Resampling.BILINEAR)
        difference = found[0].int() - torch.from_numpy(numpy.array(resized)).int()
        assert difference.abs().max() <= 1


def test_what_is_already_so_is_not_copied():
    own = load_source("digits", None, Reading((8, 8), 1))
    assert own.train.rows is not None  # still the rows of one tensor


def test_points_are_refused():
    with pytest.raises(DataError, match="holds points"):
        load_source("moons", None, Reading((8, 8)))
