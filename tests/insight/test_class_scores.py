"""Scores of classes against scikit-learn's and torchmetrics', intervals against real resampling."""

import time
import warnings

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import precision_recall_fscore_support
from torchmetrics.functional import classification

from convsmith.insight.class_scores import class_scores
from convsmith.insight.confusion import confusion_matrix

PAIRS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=60)


def drawn(images, classes, accuracy=0.8):
    """Labels, and guesses that are right that often."""
    labels = torch.randint(classes, (images,))
    wrong = torch.rand(images) > accuracy
    return labels, torch.where(wrong, torch.randint(classes, (images,)), labels)


def values(intervals):
    return [each.value for each in intervals]


@settings(deadline=None, max_examples=40)
@given(PAIRS)
def test_scores_are_scikit_learns(pairs):
    labels, guesses = torch.tensor(pairs).T
    found = class_scores(confusion_matrix(labels, guesses, 5), 0, resamples=2)
    with warnings.catch_warnings(action="ignore"):  # classes that are not there
        reference = precision_recall_fscore_support(
            labels, guesses, labels=range(5), zero_division=numpy.nan
        )
    for ours, theirs in zip((found.precision, found.recall, found.f1), reference, strict=False):
        assert values(ours) == pytest.approx(theirs, abs=1e-6, nan_ok=True)


def test_scores_and_their_means_are_torchmetrics():
    labels, guesses = drawn(2000, 7)
    found = class_scores(confusion_matrix(labels, guesses, 7), 0, resamples=2)
    for name, each, mean in (
        ("precision", found.precision, found.mean_precision),
        ("recall", found.recall, found.mean_recall),
        ("f1_score", found.f1, found.mean_f1),
    ):
        reference = getattr(classification, f"multiclass_{name}")
        by_class = reference(guesses, labels, 7, average="none").tolist()
        assert values(each) == pytest.approx(by_class, abs=1e-6)
        macro = reference(guesses, labels, 7, average="macro").item()
        assert mean.value == pytest.approx(macro, abs=1e-6)
    assert found.accuracy.value == pytest.approx((labels == guesses).double().mean().item())


def test_intervals_are_those_of_images_drawn_one_by_one():
    labels, guesses = drawn(400, 4, 0.7)
    found = class_scores(confusion_matrix(labels, guesses, 4), 0, resamples=4000)
    again = []
    for _ in range(400):
        rows = torch.randint(400, (400,))
        once = class_scores(confusion_matrix(labels[rows], guesses[rows], 4), 0, resamples=2)
        each = values([*once.precision, *once.recall, *once.f1, once.mean_f1])
        again.append(each)
    low, high = numpy.quantile(again, [0.025, 0.975], axis=0)
    ours = [*found.precision, *found.recall, *found.f1, found.mean_f1]
    assert [each.low for each in ours] == pytest.approx(low, abs=0.03)
    assert [each.high for each in ours] == pytest.approx(high, abs=0.03)
    assert all(each.low <= each.value <= each.high for each in ours)


def test_an_interval_holds_the_truth_about_as_often_as_it_says():
    held = []
    for trial in range(120):
        labels, guesses = drawn(300, 3, 0.7)  # right 0.7 + 0.3 / 3 of the time
        found = class_scores(confusion_matrix(labels, guesses, 3), trial, resamples=300)
        held.append(found.accuracy.low <= 0.8 <= found.accuracy.high)
        held.append(found.mean_recall.low <= 0.8 <= found.mean_recall.high)
    assert 0.9 < numpy.mean(held) < 0.995


def test_a_seed_decides_and_a_class_never_guessed_has_no_precision():
    matrix = torch.tensor([[5, 1, 0], [2, 7, 0], [1, 2, 0]])
    first, again, other = (class_scores(matrix, seed) for seed in (1, 1, 2))
    assert str(first) == str(again) != str(other)
    assert numpy.isnan(
        [first.precision[2].value, first.precision[2].low, first.precision[2].high]
    ).all()
    assert first.recall[2].value == first.f1[2].value == 0
    assert first.mean_precision.value == pytest.approx((5 / 8 + 7 / 10) / 2)


@pytest.mark.parametrize(("classes", "limit"), [(10, 1.0), (100, 2.0)])
def test_ten_thousand_images_are_resampled_a_thousand_times_in_a_moment(classes, limit):
    labels, guesses = drawn(10_000, classes, 0.6)
    matrix = confusion_matrix(labels, guesses, classes)
    started = time.process_time()
    class_scores(matrix, 0)
    assert time.process_time() - started < limit
