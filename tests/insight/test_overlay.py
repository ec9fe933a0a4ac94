"""Maps in colours: what flat maps, weak and strong places, and signs look like."""

import pytest
import torch

from convsmith.insight.overlay import colours, enlarge, overlay, strength


def test_strength_keeps_zero_and_is_never_nan():
    for flat in (torch.zeros(4, 4), torch.full((4, 4), float("nan"))):
        assert torch.equal(strength(flat), torch.zeros(4, 4))
    assert torch.equal(strength(torch.full((4, 4), -2.0)), torch.full((4, 4), -1.0))
    alone = torch.zeros(20, 20)
    alone[3, 4] = 7
    assert strength(alone)[3, 4] == 1
    map_ = torch.rand(30, 30)
    map_[0, 0] = 1000
    assert strength(map_).median() > 0.3


def test_rising_colours_get_brighter():
    map_ = torch.linspace(0, 1, 400).view(20, 20)
    bright = colours(map_).float().mean(0).flatten()
    assert (bright.diff() >= -1).all()
    assert bright[0] < 5 < 200 < bright[-1]
    assert colours(map_).dtype == torch.uint8


def test_for_is_red_against_is_blue_and_nothing_is_white():
    red, green, blue = colours(torch.tensor([[-1.0, 0.0, 1.0]]))[:, 0].tolist()
    assert blue[0] > red[0]
    assert (red[1], green[1], blue[1]) == (247, 247, 247)
    assert red[2] > blue[2]


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_an_unmarked_place_shows_the_image(channels):
    pixels = torch.randint(0, 256, (channels, 6, 6), dtype=torch.uint8)
    map_ = torch.zeros(6, 6)
    map_[:3] = 1
    laid = overlay(pixels, map_)
    shown = pixels if channels == 3 else pixels[:1].expand(3, -1, -1)
    assert torch.equal(laid[:, 3:], shown[:, 3:])
    assert not torch.equal(laid[:, :3], shown[:, :3])
    assert torch.equal(overlay(pixels, torch.zeros(6, 6)), shown)


@pytest.mark.parametrize(("size", "expected"), [((8, 8), 96), ((32, 20), 96), ((300, 10), 300)])
def test_enlarging_is_by_whole_numbers(size, expected):
    pixels = torch.randint(0, 256, (3, *size), dtype=torch.uint8)
    map_ = torch.rand(size)
    times = expected // max(size)
    large, sharp = enlarge(pixels, map_, 100)
    assert large.shape == (3, size[0] * times, size[1] * times)
    assert torch.equal(large[:, ::times, ::times], pixels)
    assert torch.equal(sharp[::times, ::times], map_)
    assert sharp.unique().numel() == map_.unique().numel()
    smooth = enlarge(pixels, map_, 100, smooth=True)[1]
    assert smooth.shape == sharp.shape == large.shape[1:]
    assert (smooth.unique().numel() > map_.unique().numel()) == (times > 1)
