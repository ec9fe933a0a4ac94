"""Early stopping: what is better, and when waiting is over."""

import math

from hypothesis import given
from hypothesis import strategies as st

from convsmith.training.stopping import EarlyStopping


def feed(watch, values):
    return [watch.update(value, epoch) for epoch, value in enumerate(values, 1)]


def test_a_lower_loss_and_a_higher_accuracy_are_better():
    assert feed(EarlyStopping("loss"), [1.0, 0.5, 0.7]) == [True, True, False]
    assert feed(EarlyStopping("top1"), [0.5, 0.7, 0.6]) == [True, True, False]


def test_it_is_done_after_patience_epochs_without_a_better_one():
    watch = EarlyStopping("loss", patience=2)
    feed(watch, [1.0, 0.5, 0.6])
    assert not watch.done
    watch.update(0.5, 4)
    assert watch.done
    assert (watch.best, watch.best_epoch) == (0.5, 2)


def test_nan_is_never_better_not_even_as_the_first():
    watch = EarlyStopping("loss", patience=3)
    assert feed(watch, [math.nan, 2.0, math.nan, math.nan]) == [False, True, False, False]
    assert watch.best == 2.0


def test_infinity_is_never_better_either():
    assert feed(EarlyStopping("loss"), [math.inf, 2.0, -math.inf]) == [False, True, False]
    assert feed(EarlyStopping("top1"), [math.inf, 0.5]) == [False, True]


def test_a_gain_within_min_delta_is_no_gain():
    assert feed(EarlyStopping("top1", 7, 0.1), [0.5, 0.55, 0.61]) == [True, False, True]


def test_without_patience_it_only_remembers():
    watch = EarlyStopping("loss", patience=None)
    feed(watch, [1.0] * 100)
    assert not watch.done
    assert watch.best_epoch == 1


@given(st.lists(st.floats(), max_size=20), st.integers(0, 19))
def test_a_copy_made_from_its_state_goes_on_alike(values, cut):
    whole, first = EarlyStopping("loss", 4), EarlyStopping("loss", 4)
    feed(whole, values)
    feed(first, values[:cut])
    second = EarlyStopping("loss", 4)
    second.load_state_dict(first.state_dict())
    for epoch, value in enumerate(values[cut:], cut + 1):
        second.update(value, epoch)
    assert second.state_dict() == whole.state_dict()
