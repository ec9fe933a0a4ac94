"""Normalising by the constants of the training part."""

import pytest
import torch

from convsmith.data import load_source
from convsmith.data.images import Images
from convsmith.data.normalise import Normalise


def bytes_of(shape, low=0, high=256):
    return torch.randint(low, high, shape, dtype=torch.uint8)


def measured(pixels):
    return Normalise.measure(Images(pixels, torch.zeros(len(pixels), dtype=torch.int64)))


def test_constants_are_those_published_for_mnist(data_root):
    found = Normalise.measure(load_source("mnist", data_root).train)
    assert found.mean == (pytest.approx(0.1307, abs=5e-5),)
    assert found.std == (pytest.approx(0.3081, abs=5e-5),)


def test_constants_are_those_published_for_fashion_mnist(fashion_root):
    found = Normalise.measure(load_source("fashion_mnist", fashion_root).train)
    assert found.mean == (pytest.approx(0.2860, abs=5e-5),)
    assert found.std == (pytest.approx(0.3530, abs=5e-5),)


def test_normalised_images_have_mean_0_and_deviation_1_by_channel():
    pixels = torch.randint(0, 200, (40, 3, 5, 7), dtype=torch.uint8)
    pixels[:, 1] += 50
    normalise = Normalise.measure(Images(pixels, torch.zeros(40)))
    found = normalise(pixels)
    torch.testing.assert_close(found.mean((0, 2, 3)), torch.zeros(3), rtol=0, atol=1e-5)
    torch.testing.assert_close(found.var((0, 2, 3), correction=0), torch.ones(3), rtol=1e-5, atol=0)


def test_a_channel_that_never_changes_stays_finite():
    pixels = torch.full((4, 1, 3, 3), 7, dtype=torch.uint8)
    assert torch.equal(
        Normalise.measure(Images(pixels, torch.zeros(4)))(pixels), torch.zeros(4, 1, 3, 3)
    )


def test_no_images_are_no_images():
    normalise = measured(bytes_of((4, 3, 5, 7)))
    assert normalise(torch.empty(0, 3, 5, 7, dtype=torch.uint8)).shape == (0, 3, 5, 7)


def test_points_are_not_taken_for_bytes():
    source = load_source("moons", None)
    found = Normalise.measure(source.train)(source.train.pixels)
    torch.testing.assert_close(found.std((0, 2, 3), correction=0), torch.ones(2))


def test_an_image_of_one_pixel_stays_one_when_it_was_rotated_to_floats():
    pixels = torch.arange(0, 250, 5, dtype=torch.uint8).view(-1, 1, 1, 1)
    normalise = measured(pixels)
    assert normalise.scale == 255
    torch.testing.assert_close(normalise(pixels.float()), normalise(pixels))


def test_normalising_leaves_what_it_was_given():
    pixels = torch.rand(4, 1, 3, 3) * 255
    before = pixels.clone()
    Normalise((0.5,), (0.2,))(pixels)
    assert torch.equal(pixels, before)


@pytest.mark.parametrize("shape", [(1, 1, 2, 2), (30, 1, 9, 4), (17, 3, 8, 8), (5, 4, 1, 31)])
def test_the_histogram_gives_the_mean_and_deviation_of_all_pixels(shape):
    pixels = bytes_of(shape)
    found, values = measured(pixels), pixels.double() / 255
    assert found.mean == pytest.approx(values.mean((0, 2, 3)).tolist(), rel=1e-12)
    expected = values.std((0, 2, 3), correction=0)
    assert found.std == pytest.approx(expected.tolist(), rel=1e-12)


def test_channels_are_measured_apart():
    pixels = torch.cat([bytes_of((20, 1, 5, 5), 0, 50), bytes_of((20, 1, 5, 5), 200, 256)], 1)
    found = measured(pixels)
    for channel in (0, 1):
        alone = measured(pixels[:, channel : channel + 1])
        assert (found.mean[channel], found.std[channel]) == (alone.mean[0], alone.std[0])
    assert found.mean[0] < 0.2 < 0.78 < found.mean[1]


def test_large_counts_lose_nothing():
    """Ten million pixels of 255 and one of 0: float32 sums would be off."""
    pixels = torch.full((10, 1, 1000, 1000), 255, dtype=torch.uint8)
    pixels[0, 0, 0, 0] = 0
    assert measured(pixels).mean[0] == pytest.approx(1 - 1e-7, rel=1e-12)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_bytes_and_their_floats_come_to_the_same(layout):
    pixels, normalise = bytes_of((4, 3, 6, 5)), Normalise((0.4, 0.5, 0.6), (0.2, 0.3, 0.4))
    expected = (pixels.double() / 255 - torch.tensor(normalise.mean)[:, None, None]) / torch.tensor(
        normalise.std
    )[:, None, None]
    for given in (pixels, pixels.float(), pixels.to(memory_format=torch.channels_last)):
        found = normalise(given, layout)
        assert found.dtype == torch.float32
        assert found.is_contiguous(memory_format=layout)
        torch.testing.assert_close(found.double(), expected, rtol=0, atol=1e-5)


def test_points_are_measured_as_they_are():
    points = torch.randn(500, 2, 1, 1) * torch.tensor([3.0, 0.2])[:, None, None] + 7
    found = measured(points)
    assert found.mean == pytest.approx(points.double().mean((0, 2, 3)).tolist(), rel=1e-9)
    assert found.std == pytest.approx(
        points.double().std((0, 2, 3), correction=0).tolist(), rel=1e-9
    )
