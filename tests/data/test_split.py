"""Splitting and normalising."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from convsmith.data import load_source
from convsmith.data.images import Images
from convsmith.data.normalise import Normalise
from convsmith.data.split import stratified_split
from convsmith.errors import DataError


@given(
    counts=st.lists(st.integers(2, 60), min_size=2, max_size=6),
    fraction=st.floats(0.01, 0.9),
    seed=st.integers(0, 9),
)
def test_a_split_is_whole_disjoint_in_proportion_and_by_seed(counts, fraction, seed):
    labels = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    kept, held = stratified_split(labels, fraction, seed)
    assert sorted(kept.tolist() + held.tolist()) == list(range(len(labels)))
    for label, count in enumerate(counts):
        of_this = int((labels[held] == label).sum())
        assert of_this == min(max(round(fraction * count), 1), count - 1)
    again = stratified_split(labels, fraction, seed)
    assert torch.equal(kept, again[0])


def test_another_seed_splits_otherwise():
    labels = torch.arange(200) % 4
    splits = {tuple(stratified_split(labels, 0.2, seed)[1].tolist()) for seed in range(5)}
    assert len(splits) == 5


def test_what_cannot_be_split_is_refused():
    with pytest.raises(DataError, match=r"data\.validation=0"):
        stratified_split(torch.arange(5), 0.1, 0)  # one image a class


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


def test_points_are_not_taken_for_bytes():
    source = load_source("moons", None)
    found = Normalise.measure(source.train)(source.train.pixels)
    torch.testing.assert_close(found.std((0, 2, 3), correction=0), torch.ones(2))


def test_normalising_leaves_what_it_was_given():
    pixels = torch.rand(4, 1, 3, 3) * 255
    before = pixels.clone()
    Normalise((0.5,), (0.2,))(pixels)
    assert torch.equal(pixels, before)
