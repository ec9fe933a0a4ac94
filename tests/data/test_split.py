"""Splitting validation from training."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from convsmith.data.split import grouped_split, stratified_split
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


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 15)), min_size=40, max_size=120),
    st.integers(0, 3),
)
def test_no_group_is_torn_apart(pairs, seed):
    labels, groups = torch.tensor(pairs).T
    groups = groups.unique(return_inverse=True)[1]
    if len(groups.unique()) < 4:
        return
    try:
        kept, held_out = grouped_split(labels, groups, 0.3, seed)
    except DataError:
        return
    assert not set(groups[kept].tolist()) & set(groups[held_out].tolist())
    assert sorted([*kept.tolist(), *held_out.tolist()]) == list(range(len(labels)))


def test_groups_are_split_in_proportion_and_by_seed():
    groups = torch.arange(1000) // 5
    labels = (groups * 7) % 4
    _, held_out = grouped_split(labels, groups, 0.2, 0)
    for label in range(4):
        share = (labels[held_out] == label).sum() / (labels == label).sum()
        assert 0.17 <= share <= 0.23
    again, other = (grouped_split(labels, groups, 0.2, seed)[1] for seed in (0, 1))
    assert torch.equal(held_out, again)
    assert not torch.equal(held_out, other)


def test_one_group_cannot_be_split():
    with pytest.raises(DataError, match="cannot hold out 20% of 10 images in 1 group;"):
        grouped_split(torch.arange(10) % 2, torch.zeros(10, dtype=torch.int64), 0.2, 0)


def test_test_and_validation_are_drawn_apart():
    labels = torch.arange(400) % 4
    found = [stratified_split(labels, 0.2, 0, purpose)[1] for purpose in ("test", "validation")]
    assert not torch.equal(*found)
