"""Mixed images and labels: shares that add up, pixels that come from where they should."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from convsmith.data.mixing import Mix, draw_mix, mix_labels, mix_pixels
from convsmith.randomness import generator

PIXELS = torch.randint(0, 256, (40, 3, 8, 10), dtype=torch.uint8)
LABELS = torch.arange(40) % 4


def draw(mixup, cutmix, seed=0, count=40):
    return draw_mix(generator(seed, "mix"), count, (8, 10), mixup, cutmix)


def test_a_mixup_is_the_weighted_mean():
    mix = draw(0.4, 0)
    assert mix.box.sum() == 0
    found = mix_pixels(PIXELS, mix)
    for index, (partner, share) in enumerate(zip(mix.partner, mix.share, strict=True)):
        expected = share * PIXELS[index].float() + (1 - share) * PIXELS[partner].float()
        torch.testing.assert_close(found[index], expected, rtol=1e-5, atol=1e-3)


def test_a_cutmix_is_a_box_of_the_partner_and_its_share_is_that_of_the_pixels():
    mix = draw(0, 1.0)
    found = mix_pixels(PIXELS, mix)
    for index, partner in enumerate(mix.partner.tolist()):
        top, left, bottom, right = mix.box[index].tolist()
        expected = PIXELS[index].clone()
        expected[:, top:bottom, left:right] = PIXELS[partner][:, top:bottom, left:right]
        assert torch.equal(found[index], expected.float())
        area = (bottom - top) * (right - left)
        assert mix.share[index] == pytest.approx(1 - area / 80, abs=1e-6)


def test_labels_are_shares_that_add_up_and_follow_the_partner():
    mix = draw(1.0, 1.0)
    found = mix_labels(LABELS, mix, 4)
    torch.testing.assert_close(found.sum(1), torch.ones(40))
    for index, partner in enumerate(mix.partner.tolist()):
        expected = torch.zeros(4)
        expected[LABELS[index]] += mix.share[index]
        expected[LABELS[partner]] += 1 - mix.share[index]
        torch.testing.assert_close(found[index], expected)


def test_with_both_about_half_the_images_are_cut():
    cut = (draw(1.0, 1.0, count=2000).box.sum(1) > 0).float().mean()
    assert 0.4 < cut < 0.55  # some boxes are of no pixel


def test_a_small_strength_mixes_little():
    weak, strong = (draw(a, 0, count=4000).share for a in (0.1, 5.0))
    assert torch.minimum(weak, 1 - weak).mean() < 0.08
    assert torch.minimum(strong, 1 - strong).mean() > 0.3


@settings(deadline=None)
@given(st.integers(0, 5))
def test_equal_seeds_draw_alike(seed):
    first, again, other = draw(1, 1, seed), draw(1, 1, seed), draw(1, 1, seed + 1)
    assert all(
        torch.equal(a, b) for a, b in zip(vars(first).values(), vars(again).values(), strict=True)
    )
    assert not torch.equal(first.share, other.share)


def test_an_image_that_is_its_own_partner_stays():
    mix = Mix(torch.arange(40), torch.full((40,), 0.3), torch.zeros(40, 4, dtype=torch.int64))
    torch.testing.assert_close(mix_pixels(PIXELS, mix), PIXELS.float())
