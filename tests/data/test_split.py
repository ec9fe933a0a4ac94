"""Splitting validation from training."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from convsmith.data.split import stratified_split
from convsmith.errors import DataError


@settings(deadline=None)
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


@settings(deadline=None)
@given(seed=st.integers(0, 99), fraction=st.floats(0.05, 0.5))
def test_labels_in_any_order_and_with_gaps_split_alike(seed, fraction):
    labels = torch.tensor([3, 7, 900])[torch.randperm(150) % 3]
    kept, held = stratified_split(labels, fraction, seed)
    assert kept.tolist() == sorted(set(kept.tolist()))
    assert held.tolist() == sorted(set(held.tolist()))
    assert not set(kept.tolist()) & set(held.tolist())
    assert len(kept) + len(held) == 150
    for label in (3, 7, 900):
        assert int((labels[held] == label).sum()) == max(round(fraction * 50), 1)


def test_the_only_image_of_a_class_stays():
    labels = torch.tensor([0] * 10 + [1])
    kept, held = stratified_split(labels, 0.9, 0)
    assert 10 in kept.tolist()
    assert len(held) == 9


def test_a_split_leaves_the_global_random_numbers_alone():
    state = torch.get_rng_state()
    stratified_split(torch.arange(20) % 2, 0.5, 0)
    assert torch.equal(torch.get_rng_state(), state)


def test_every_image_is_held_out_by_some_seed():
    labels = torch.arange(40) % 4
    seen = {i for seed in range(60) for i in stratified_split(labels, 0.2, seed)[1].tolist()}
    assert seen == set(range(40))


@pytest.mark.parametrize("labels", [torch.arange(0), torch.tensor([4])])
def test_no_image_or_a_single_one_cannot_be_split(labels):
    with pytest.raises(DataError, match=r"data\.validation=0"):
        stratified_split(labels, 0.5, 0)
