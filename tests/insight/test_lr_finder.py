"""The sweep on functions whose curve is known, and on gradient descent whose limit is known."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convsmith.insight.lr_finder import BREAK, RULES, Sweep, exponential, smooth, sweep

RATES = exponential(1e-7, 10, 100)
LOSSES = st.lists(st.floats(0, 1e6), min_size=1, max_size=40)


def curve(centre, lowest, rates=RATES):
    """A fall from 2 to 1 around ``centre``, and a rise in earnest from ``lowest`` on."""
    losses = [
        2 - 1 / (1 + (centre / rate) ** 2) + 10 * max(0.0, math.log10(rate / lowest)) ** 2
        for rate in rates
    ]
    return Sweep(rates, tuple(losses), tuple(losses))


def test_rates_are_in_equal_ratios_and_reach_both_ends():
    assert RATES[0] == pytest.approx(1e-7)
    assert RATES[-1] == pytest.approx(10)
    ratios = [after / before for before, after in pairwise(RATES)]
    assert min(ratios) == pytest.approx(max(ratios))


@given(LOSSES, st.floats(1, 4))
def test_smoothing_stays_between_the_extremes_and_leaves_a_constant_alone(losses, width):
    smoothed = smooth(losses, width)
    assert len(smoothed) == len(losses)
    assert min(losses) * (1 - 1e-9) <= min(smoothed)
    assert max(smoothed) <= max(losses) * (1 + 1e-9)
    assert smooth([losses[0]] * 9, width) == pytest.approx([losses[0]] * 9)


def test_smoothing_does_not_move_a_straight_line():
    line = [0.5 * at for at in range(40)]
    assert smooth(line, 2.0)[10:30] == pytest.approx(line[10:30])


@pytest.mark.parametrize("centre", [1e-5, 1e-3, 0.03])
def test_each_rule_finds_its_point_of_a_known_curve(centre):
    lowest = 30 * centre
    found = curve(centre, lowest)
    step = math.log10(RATES[1] / RATES[0])
    # of 1 / (1 + (c/r)²): steepest in log r at c, and nine tenths of it done at 3c
    expected = {"steepest": centre, "valley": 3 * centre, "tenth": lowest / 10}
    for rule, rate in expected.items():
        assert abs(math.log10(RULES[rule](found) / rate)) < 1.5 * step, rule


def test_gradient_descent_on_a_parabola_breaks_away_just_past_its_limit():
    curvature, weight = 50.0, 1.0

    def step(rate):
        nonlocal weight
        loss = 0.5 * curvature * weight**2 + 1
        weight -= rate * curvature * weight
        return loss

    found = sweep(step, RATES)
    limit = 2 / curvature
    assert found.smoothed[-1] > BREAK * min(found.smoothed)
    without_last = smooth(found.losses[:-1], 2.0)
    assert without_last[-1] <= BREAK * min(without_last)
    assert limit < found.rates[-1] < 10 * limit
    for rule in RULES.values():
        assert limit / 100 < rule(found) < limit


@given(st.lists(st.floats(0.01, 100), min_size=1, max_size=60), st.integers(8, 200))
def test_a_sweep_ends_as_if_all_were_smoothed_at_every_step(losses, steps):
    width = max(1.0, 0.02 * steps)
    end = len(losses[:steps])
    for count in range(1, end + 1):
        smoothed = smooth(losses[:count], width)
        if smoothed[-1] > BREAK * min(smoothed):
            end = count
            break
    values = iter([*losses, math.nan])
    found = sweep(lambda rate: next(values), exponential(1e-7, 10, steps))
    assert found.losses == tuple(losses[:end])


def test_a_sweep_ends_before_a_loss_that_is_not_finite():
    losses = iter([2.0] * 20 + [1.0, math.nan, 1.0])
    found = sweep(lambda rate: next(losses), RATES)
    assert len(found.rates) == len(found.losses) == len(found.smoothed) == 21
    assert next(losses) == 1.0  # no step was made after it


@pytest.mark.parametrize("losses", [[], [2.0] * 5, [1 + at / 50 for at in range(50)]])
def test_a_loss_that_never_fell_gives_no_rate(losses):
    values = iter([*losses, math.nan])
    found = sweep(lambda rate: next(values), RATES)
    assert [rule(found) for rule in RULES.values()] == [None, None, None]
