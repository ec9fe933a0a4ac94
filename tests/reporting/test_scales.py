import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convsmith.reporting.scales import linear_scale, log_scale, spread_scale

FINITE = st.floats(-1e290, 1e290)


@given(st.lists(FINITE, min_size=1, max_size=20), st.booleans())
def test_a_linear_axis_holds_its_values_between_few_ticks(values, from_zero):
    scale = linear_scale(values, from_zero=from_zero)
    places = [scale.place(value) for value in values]
    assert all(-0.01 <= place <= 1.01 for place in places)
    assert 2 <= len(scale.ticks) == len(scale.labels) <= 9
    assert list(scale.ticks) == sorted(scale.ticks)
    if from_zero:
        assert -0.001 <= scale.place(0.0) <= 1.001


@given(st.lists(st.floats(1e-290, 1e290), min_size=1, max_size=20))
def test_a_logarithmic_axis_holds_its_values_between_few_ticks(values):
    scale = log_scale(values)
    assert all(-0.01 <= scale.place(value) <= 1.01 for value in values)
    assert len(scale.ticks) <= 10


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=20))
def test_an_axis_of_epochs_has_whole_numbers(values):
    scale = spread_scale([float(value) for value in values])
    assert all(tick == round(tick) for tick in scale.ticks)
    assert all(0 <= scale.place(value) <= 1 for value in values)
    assert len(scale.ticks) <= 7


def test_ticks_are_round_numbers_and_their_labels_short():
    assert linear_scale([0.13, 0.61]).labels == ("0.1", "0.2", "0.3", "0.4", "0.5", "0.6", "0.7")
    assert linear_scale([0.94, 1.0], "share").labels == ("94%", "96%", "98%", "100%")
    assert linear_scale([1.0, 1.0], "share").labels[-1] == "100%"
    assert linear_scale([0.0, 0.0], "share").labels[0] == "0%"
    assert linear_scale([0.984, 0.9931], "share").labels[:2] == ("98.4%", "98.6%")
    assert linear_scale([3e-7, 3e-6], from_zero=True).labels == ("0", "1e-6", "2e-6", "3e-6")
    assert linear_scale([4100.0], from_zero=True).labels[-1] == "5,000"
    assert log_scale([0.006, 2.1]).labels == ("0.01", "0.1", "1")
    assert spread_scale([1, 24]).labels == ("5", "10", "15", "20")
    assert spread_scale([1]).labels == ("1",)


@pytest.mark.parametrize("value", [0.0, 1.0, 1e-4, 12345.678, -3.0, 5e-324])
def test_one_value_lies_inside_its_axis(value):
    scale = linear_scale([value, value])
    assert 0 <= scale.place(value) <= 1
    assert math.isfinite(scale.low)
    assert scale.high > scale.low
