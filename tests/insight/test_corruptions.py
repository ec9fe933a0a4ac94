"""Corruptions against other libraries' and their own definitions."""

import io
from itertools import pairwise

import numpy
import pytest
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter

from convsmith.insight.corruptions import CORRUPTIONS, blur, brightness, jpeg, noise


def draw(seed=0):
    return torch.Generator().manual_seed(seed)


def smooth(count=4, channels=3, size=32):
    """Images with large shapes in them, as photographs have."""
    coarse = torch.rand(count, channels, 5, 5)
    images = torch.nn.functional.interpolate(coarse, size=(size, size), mode="bicubic")
    return (255 * images).round().clamp(0, 255).to(torch.uint8)


@pytest.mark.parametrize("name", CORRUPTIONS)
@pytest.mark.parametrize(("channels", "size"), [(1, 8), (3, 32), (3, 100)])
def test_images_stay_images_and_each_strength_is_worse(name, channels, size):
    images = smooth(8, channels, size)
    before = images.clone()
    corruption = CORRUPTIONS[name]
    away = []
    for setting in corruption.settings((size, size)):
        changed = corruption.change(images, setting, draw())
        assert (changed.dtype, changed.shape) == (torch.uint8, images.shape)
        away.append((changed.float() - images.float()).square().mean().item())
    assert all(a < b for a, b in pairwise(away)) or (name, size) == ("jpeg", 8)
    assert away[-1] > away[0] > 0
    assert torch.equal(images, before)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_a_seed_decides(name):
    corruption, images = CORRUPTIONS[name], smooth()
    setting = corruption.small[2]
    first, again = (corruption.change(images, setting, draw(7)) for _ in range(2))
    assert torch.equal(first, again)
    if name == "noise":
        assert not torch.equal(first, corruption.change(images, setting, draw(8)))


def test_noise_has_the_deviation_it_says():
    images = torch.full((20, 3, 32, 32), 128, dtype=torch.uint8)
    added = noise(images, 0.1, draw()).float() - 128
    assert added.mean().item() == pytest.approx(0, abs=0.5)
    assert added.std().item() == pytest.approx(25.5, rel=0.02)


@pytest.mark.parametrize("deviation", [0.4, 1.0, 4.0])
def test_blur_is_scipys(deviation):
    images = smooth(2, 3, 20)
    found = blur(images, deviation, draw()).float()
    filtered = gaussian_filter(
        images.double().numpy(), (0, 0, deviation, deviation), mode="nearest", truncate=4.0
    )
    assert (found - torch.from_numpy(filtered).round().float()).abs().max() <= 1
    assert (found - torch.from_numpy(filtered).float()).abs().max() < 0.51


def test_brightness_is_that_of_hsv():
    images = smooth(3)
    images[0, :, :4] = 0  # black has no hue
    changed = brightness(images, 0.2, draw())
    for before, after in zip(images, changed, strict=True):
        hsv = [
            numpy.asarray(
                Image.fromarray(each.permute(1, 2, 0).contiguous().numpy()).convert("HSV")
            ).astype(int)
            for each in (before, after)
        ]
        raised = numpy.minimum(hsv[0][..., 2] + 51, 255)
        assert numpy.abs(hsv[1][..., 2] - raised).max() <= 1
        coloured = hsv[0][..., 1] > 40
        turned = (hsv[1][..., 0] - hsv[0][..., 0] + 128) % 256 - 128
        assert numpy.abs(turned[coloured]).max() <= 4
    assert (changed[0, :, :4] == 51).all()


@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_is_pillows(channels):
    images = smooth(2, channels, 24)
    found = jpeg(images, 40, draw())
    for before, after in zip(images, found, strict=True):
        array = before.permute(1, 2, 0).squeeze(2).numpy()
        file = io.BytesIO()
        Image.fromarray(array).save(file, "JPEG", quality=40)
        again = numpy.asarray(Image.open(io.BytesIO(file.getvalue())))
        assert numpy.array_equal(after.permute(1, 2, 0).squeeze(2).numpy(), again)


def test_large_images_are_blurred_more():
    small, large = (CORRUPTIONS["blur"].settings((1, size))[0] for size in (64, 65))
    assert small < large
