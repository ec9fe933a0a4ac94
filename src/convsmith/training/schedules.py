"""Learning-rate schedules: a factor of the base rate for every step."""

import math
from collections.abc import Callable

from convsmith.bounds import Fraction, NonNegative, Share

__all__ = ["SCHEDULES", "Schedule"]

Schedule = Callable[[int], float]
"""Maps a step, counted from 0, to the factor of the base learning rate."""


def constant(total_steps: int, steps_per_epoch: int, *, warmup_epochs: NonNegative = 0) -> Schedule:
    """The base rate throughout, after a linear rise over ``warmup_epochs``."""
    warmup = round(warmup_epochs * steps_per_epoch)
    return lambda step: rise(step, warmup)


def multistep(
    total_steps: int,
    steps_per_epoch: int,
    *,
    milestones: tuple[NonNegative, ...] = (),
    gamma: Share = 0.1,
    warmup_epochs: NonNegative = 0,
) -> Schedule:
    """Multiply the rate by ``gamma`` at each of the ``milestones``, in epochs."""
    marks = [round(milestone * steps_per_epoch) for milestone in milestones]
    warmup = round(warmup_epochs * steps_per_epoch)
    return lambda step: rise(step, warmup) * gamma ** sum(step >= mark for mark in marks)


def cosine(
    total_steps: int,
    steps_per_epoch: int,
    *,
    warmup_epochs: NonNegative = 0,
    final: Share = 0.0,
) -> Schedule:
    """A linear rise over ``warmup_epochs``, then half a cosine down to ``final`` times the rate.

    Source: Loshchilov & Hutter, "SGDR", 2016, without restarts.
    """
    warmup = min(round(warmup_epochs * steps_per_epoch), total_steps)

    def factor(step: int) -> float:
        if step < warmup:
            return rise(step, warmup)
        return fall(step - warmup, total_steps - warmup, 1.0, final)

    return factor


def one_cycle(
    total_steps: int,
    steps_per_epoch: int,
    *,
    rise_share: Fraction = 0.3,
    tail_share: Fraction = 0.05,
    start: Share = 0.04,
    low: Share = 0.01,
    final: Share | None = None,
) -> Schedule:
    """A linear rise, a cosine fall, and a last short phase.

    From ``start`` up to 1 over the first ``rise_share`` of the steps, down to ``low`` by a cosine,
    and linearly from there to ``final`` (None is ``low`` / 100) over the last ``tail_share``; the
    three parts add up to the whole. Source: Smith & Topin, "Super-Convergence", 2017.
    """
    tail = min(round(tail_share * total_steps), total_steps)
    up = min(round(rise_share * total_steps), total_steps - tail)
    down = total_steps - tail - up
    end = low / 100 if final is None else final

    def factor(step: int) -> float:
        if step < up:
            return start + (1 - start) * step / up
        if step < up + down:
            return fall(step - up, down + (tail > 0), 1.0, low)
        return low + (end - low) * (step - up - down + 1) / max(tail, 1)

    return factor


def linear(
    total_steps: int,
    steps_per_epoch: int,
    *,
    warmup_epochs: NonNegative = 0,
    final: Share = 0.0,
) -> Schedule:
    """A linear rise over ``warmup_epochs``, then a straight line to ``final`` at the last step."""
    warmup = min(round(warmup_epochs * steps_per_epoch), total_steps)

    def factor(step: int) -> float:
        if step < warmup:
            return rise(step, warmup)
        share = (step - warmup) / max(total_steps - warmup - 1, 1)
        return 1 + (final - 1) * share

    return factor


def rise(step: int, warmup: int) -> float:
    """Return the factor in a linear warm-up: 1/warmup at step 0, 1 from its last step on."""
    return min(1.0, (step + 1) / warmup) if warmup else 1.0


def fall(step: int, steps: int, high: float, low: float) -> float:
    """Return half a cosine from ``high`` at step 0 to ``low`` at the last step."""
    share = step / max(steps - 1, 1)
    return low + (high - low) * (1 + math.cos(math.pi * share)) / 2


SCHEDULES: dict[str, Callable[..., Schedule]] = {
    "constant": constant,
    "cosine": cosine,
    "linear": linear,
    "multistep": multistep,
    "one_cycle": one_cycle,
}
