"""Schedules: shapes, ends and PyTorch's own."""

import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from convsmith.training.schedules import SCHEDULES, constant, cosine, linear, multistep, one_cycle


@given(
    name=st.sampled_from(sorted(SCHEDULES)),
    epochs=st.integers(1, 30),
    per_epoch=st.integers(1, 40),
    warmup=st.floats(0, 3),
)
def test_every_factor_is_a_finite_share_of_the_rate(name, epochs, per_epoch, warmup):
    options = {} if name == "one_cycle" else {"warmup_epochs": min(warmup, epochs)}
    schedule = SCHEDULES[name](epochs * per_epoch, per_epoch, **options)
    factors = [schedule(step) for step in range(epochs * per_epoch)]
    assert all(math.isfinite(f) and -1e-12 <= f <= 1 + 1e-12 for f in factors)


def test_constant_is_constant_and_warms_up_linearly():
    assert {constant(20, 10)(step) for step in range(20)} == {1.0}
    warming = constant(20, 10, warmup_epochs=0.5)
    assert [warming(step) for step in range(6)] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1, 1])


def test_multistep_is_pytorchs():
    parameter = torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.SGD([parameter], 1.0)
    theirs = torch.optim.lr_scheduler.MultiStepLR(optimizer, [20, 50], gamma=0.3)
    ours = multistep(80, 10, milestones=(2, 5), gamma=0.3)
    for step in range(80):
        assert ours(step) == pytest.approx(theirs.get_last_lr()[0])
        optimizer.step()
        theirs.step()


def test_cosine_goes_from_the_rate_to_its_end():
    schedule = cosine(101, 10, final=0.1)
    assert schedule(0) == 1
    assert schedule(50) == pytest.approx(0.55)
    assert schedule(100) == pytest.approx(0.1)


def test_cosine_warms_up_first():
    schedule = cosine(110, 10, warmup_epochs=1)
    assert [schedule(0), schedule(9), schedule(10)] == pytest.approx([0.1, 1, 1])
    assert schedule(109) == pytest.approx(0)


def test_linear_falls_by_equal_amounts_to_its_end():
    schedule = linear(50, 10, final=0.2)
    falls = [schedule(step) - schedule(step + 1) for step in range(49)]
    assert falls == pytest.approx([0.8 / 49] * 49)
    assert schedule(49) == pytest.approx(0.2)


def test_one_cycle_rises_falls_and_ends_in_a_short_tail():
    schedule = one_cycle(1000, 100)
    factors = [schedule(step) for step in range(1000)]
    assert factors[0] == pytest.approx(0.04)
    assert factors[300] == 1 == max(factors)
    rises = [after - before for before, after in itertools.pairwise(factors[:301])]
    assert rises == pytest.approx([0.96 / 300] * 300)
    assert all(before > after for before, after in itertools.pairwise(factors[300:]))
    assert factors[949] == pytest.approx(0.01, rel=0.1)
    assert factors[999] == pytest.approx(0.0001)
    assert one_cycle(1000, 100, low=0.1)(999) == pytest.approx(0.001)
    assert one_cycle(1000, 100, low=0.1, final=0.5)(999) == pytest.approx(0.5)
    tail = [before - after for before, after in itertools.pairwise(factors[950:])]
    assert tail == pytest.approx([tail[0]] * 49)


@given(total=st.integers(1, 300), rise=st.floats(0, 0.6), tail=st.floats(0, 0.4))
def test_the_parts_of_one_cycle_add_up_to_the_whole(total, rise, tail):
    schedule = one_cycle(total, 1, rise_share=rise, tail_share=tail)
    factors = [schedule(step) for step in range(total)]
    assert all(0 <= factor <= 1 for factor in factors)
    if round(tail * total) and total > 1:
        assert factors[-1] == pytest.approx(0.0001)
