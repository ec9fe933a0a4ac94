"""Axes: from values to places, with ticks at round numbers."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

__all__ = ["Kind", "Scale", "linear_scale", "log_scale", "spread_scale"]

Kind = Literal["number", "share"]

STEPS = (1.0, 2.0, 5.0, 10.0)
NARROW = 1e-6  # relative to the values: a smaller range is taken as one value


@dataclass(frozen=True)
class Scale:
    """An axis from ``low`` to ``high``."""

    low: float
    high: float
    ticks: tuple[float, ...]
    labels: tuple[str, ...]
    log: bool = False

    def place(self, value: float) -> float:
        """Return where a value lies: 0 at ``low``, 1 at ``high``."""
        if self.log:
            lowest = math.log(self.low)
            return (math.log(value) - lowest) / (math.log(self.high) - lowest)
        return (value - self.low) / (self.high - self.low)


def linear_scale(
    values: Sequence[float], kind: Kind = "number", *, from_zero: bool = False
) -> Scale:
    """Return a vertical axis: it begins and ends at a tick. Shares have no tick beyond 100 %."""
    low, high = bounds([*values, 0.0] if from_zero else values)
    if kind == "share" and min(values) >= 0 and max(values) <= 1:
        low, high = max(low, 0.0), min(high, 1.0)
    step = round_step((high - low) / 5)
    first, last = math.floor(low / step + NARROW), math.ceil(high / step - NARROW)
    ticks = tuple(number * step for number in range(first, last + 1))
    return Scale(ticks[0], ticks[-1], ticks, tuple(label(tick, step, kind) for tick in ticks))


def spread_scale(values: Sequence[float]) -> Scale:
    """Return a horizontal axis of whole numbers: it begins and ends at the outermost values."""
    low, high = bounds(values)
    step = max(1.0, round_step((high - low) / 5))
    first, last = math.ceil(low / step - NARROW), math.floor(high / step + NARROW)
    ticks = tuple(number * step for number in range(first, last + 1))
    return Scale(low, high, ticks, tuple(label(tick, step, "number") for tick in ticks))


def log_scale(values: Sequence[float]) -> Scale:
    """Return a vertical axis in equal ratios; the values are positive."""
    lowest, highest = min(values), max(values)
    first, last = math.floor(math.log10(lowest)), math.ceil(math.log10(highest))
    every = max(1, math.ceil((last - first) / 6))
    ends = [lead * 10.0**power for power in range(first, last + 1) for lead in (1, 2, 5)]
    low = max((end for end in ends if end <= lowest * 1.001), default=lowest)
    high = min((end for end in ends if end >= highest / 1.001), default=highest)
    if low == high:
        low, high = low / 2, high * 2
    leads = (1, 2, 5) if last - first <= 2 else (1, 3) if last - first <= 3 else (1,)
    marks = [lead * 10.0**power for power in range(first, last + 1, every) for lead in leads]
    ticks = tuple(mark for mark in marks if low <= mark <= high)
    return Scale(low, high, ticks, tuple(power_text(tick) for tick in ticks), log=True)


def bounds(values: Sequence[float]) -> tuple[float, float]:
    """Return the least and the greatest value, moved apart where they are (nearly) equal."""
    low, high = min(values), max(values)
    size = max(abs(low), abs(high))
    if high - low > max(NARROW * size, 1e-100):
        return low, high
    if size < 1e-100:
        return -0.5, 0.5
    pad = 0.5 if low == round(low) and size < 1e6 else 0.1 * size
    return low - pad, high + pad


def round_step(step: float) -> float:
    """Return the next larger of 1, 2 and 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(step))
    return next(lead * power for lead in STEPS if lead * power >= step * (1 - NARROW))


def label(value: float, step: float, kind: Kind) -> str:
    """Return a tick's text, with as many decimals as the distance between ticks needs."""
    if kind == "share":
        return f"{label(100 * value, 100 * step, 'number')}%"
    if abs(value) < step / 2:
        return "0"
    if step < 1e-5 or abs(value) >= 1e7:
        return power_text(value)
    decimals = max(0, -math.floor(math.log10(step) + NARROW))
    return f"{value:,.{decimals}f}"


def power_text(value: float) -> str:
    """Return ``0.001`` or ``1e-5``."""
    return f"{value:.3g}".replace("e-0", "e-").replace("e+0", "e+").replace("e+", "e")
