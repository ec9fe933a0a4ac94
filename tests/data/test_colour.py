"""Changes of colour against torchvision's, an image at a time."""

import pytest
import torch
from torchvision.transforms.v2 import functional as reference

from convsmith.data import colour

PIXELS = torch.randint(0, 256, (12, 3, 9, 11), dtype=torch.uint8)
GREY = torch.randint(0, 256, (6, 1, 9, 11), dtype=torch.uint8)
FACTORS = torch.linspace(0, 2, 12)


def differences(found, expected):
    """Theirs cuts greys and results off to whole bytes; ours stays exact."""
    return (found - torch.stack(list(expected)).float()).abs().max()


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (colour.brightness, reference.adjust_brightness),
        (colour.contrast, reference.adjust_contrast),
        (colour.saturation, reference.adjust_saturation),
        (colour.sharpness, reference.adjust_sharpness),
    ],
    ids=lambda function: function.__name__,
)
def test_blends_are_torchvisions(ours, theirs):
    found = ours(PIXELS.float(), FACTORS)
    expected = [theirs(image, float(f)) for image, f in zip(PIXELS, FACTORS, strict=True)]
    assert differences(found, expected) <= 2.01


def test_a_turn_of_the_hue_is_torchvisions():
    shifts = torch.linspace(-0.5, 0.5, 12)
    found = colour.hue(PIXELS.float(), shifts)
    images = PIXELS.float() / 255
    expected = [
        reference.adjust_hue(i, float(s)) * 255 for i, s in zip(images, shifts, strict=True)
    ]
    assert differences(found, expected) <= 0.05


def test_factor_1_changes_nothing():
    one = torch.ones(12)
    for change in (colour.brightness, colour.contrast, colour.saturation, colour.sharpness):
        torch.testing.assert_close(change(PIXELS.float(), one), PIXELS.float(), rtol=0, atol=0.01)
    found = colour.hue(PIXELS.float(), 0 * one)
    torch.testing.assert_close(found, PIXELS.float(), rtol=0, atol=0.01)


def test_saturation_and_hue_leave_grey_alone():
    pixels = GREY.float()
    assert colour.saturation(pixels, torch.full((6,), 0.3)) is pixels
    assert colour.hue(pixels, torch.full((6,), 0.3)) is pixels


@pytest.mark.parametrize("pixels", [PIXELS, GREY], ids=["colour", "grey"])
def test_the_others_are_torchvisions_exactly(pixels):
    count = len(pixels)
    bits = torch.arange(count) % 5 + 4
    found = colour.posterize(pixels.float(), bits)
    expected = [reference.posterize(i, int(b)) for i, b in zip(pixels, bits, strict=True)]
    assert differences(found, expected) == 0
    thresholds = torch.linspace(0, 255, count)
    found = colour.solarize(pixels.float(), thresholds)
    expected = [reference.solarize(i, float(t)) for i, t in zip(pixels, thresholds, strict=True)]
    assert differences(found, expected) == 0
    found = colour.autocontrast(pixels.float())
    assert differences(found, [reference.autocontrast(image) for image in pixels]) <= 1.01
    found = colour.equalize(pixels.float())
    assert differences(found, [reference.equalize(image) for image in pixels]) == 0


def test_images_of_one_value_stay():
    pixels = torch.full((2, 3, 8, 8), 77.0)
    assert torch.equal(colour.autocontrast(pixels), pixels)
    assert torch.equal(colour.equalize(pixels), pixels)
