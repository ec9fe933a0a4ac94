"""What is said of maps: nothing good of flat ones, and of those that do not follow the network."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from convsmith.api.explain_maps import Chosen, map_images, shuffled_words, words_of
from convsmith.insight.faithfulness import Faithfulness


class Known:
    """A network of two classes, as ``map_images`` takes it."""

    classes = ("dark", "bright")
    card = SimpleNamespace(mean=(0.0,), std=(1.0,), scale=255.0)

    def __init__(self):
        self.module = nn.Sequential(nn.Flatten(), nn.Linear(64, 2)).eval()

    def probabilities(self, pixels):
        return self.module(pixels / 255).detach().softmax(1)


def mapped(maps_of):
    maps_of.layer = None
    images = [Chosen(str(n), torch.randint(0, 256, (1, 8, 8), dtype=torch.uint8)) for n in range(4)]
    return map_images(Known(), images, maps_of, None, check=True)


def test_of_flat_maps_it_is_not_said_that_they_depend_on_what_was_learned():
    found, shuffled = mapped(lambda model, images, targets: torch.zeros(len(images), 8, 8))
    assert all(words_of(each.faithfulness).startswith("The map is flat") for each in found)
    assert shuffled_words(shuffled) == ""


def test_flat_maps_do_not_hide_that_the_others_follow_the_images():
    def edges(model, images, targets):
        maps = images[:, 0].clone()
        maps[1:] = 0
        return maps

    _, shuffled = mapped(edges)
    assert list(shuffled.values()) == [pytest.approx(1.0)]
    assert "believe them little" in shuffled_words(shuffled)


@pytest.mark.parametrize(
    ("likeness", "said"), [(0.1, "depend on what was learned"), (0.9, "believe them little")]
)
def test_the_last_likeness_decides_what_is_said(likeness, said):
    assert said in shuffled_words({"head": 0.5, "stem": likeness})


def test_what_is_said_of_a_map_is_what_its_figures_say():
    good = Faithfulness(0.9, 0.2, 0.8, 0.5, 0.5, 1.0, flat=False)
    assert words_of(good).startswith("Faithful")
    elsewhere = Faithfulness(0.9, 0.5, 0.5, 0.5, 0.5, 0.5, flat=False)
    assert words_of(elsewhere).startswith("Explains little")
    unlikely = Faithfulness(0.01, 0.0, 0.01, 0.01, 0.0, 1.0, flat=False)
    assert "too unlikely" in words_of(unlikely)
    assert words_of(None) == ""
