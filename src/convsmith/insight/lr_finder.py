"""A learning rate found by letting it grow until the loss breaks away.

Sources: Smith, "Cyclical Learning Rates for Training Neural Networks", 2015 (the sweep); fastai's
``lr_find`` (valley, minimum/10, and the stop at four times the best smoothed loss).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

__all__ = ["BREAK", "FEWEST", "MOST", "RULES", "Sweep", "exponential", "smooth", "sweep"]

BREAK = 4.0  # times the best smoothed loss: the end of a sweep
FEWEST = 8  # steps of a sweep whose curve says anything
MOST = 10_000  # steps of a sweep; more would be a training
LEAST = 0.02  # of the first loss: a smaller fall is noise
FLOOR = 0.1  # of the fall is still to come where the valley's floor begins
SMOOTHING = 0.02  # of the planned steps, the standard deviation of the smoothing


@dataclass(frozen=True)
class Sweep:
    """The loss at each rate, in the order of the steps; ``smoothed`` has one value for each."""

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    smoothed: tuple[float, ...]

    @property
    def lowest(self) -> int:
        """Return the step at which the smoothed loss is lowest."""
        return min(range(len(self.smoothed)), key=self.smoothed.__getitem__)

    @property
    def fell(self) -> bool:
        """Return whether the loss fell at all; without that, no rule has anything to say."""
        if len(self.smoothed) < FEWEST or self.lowest < 2:
            return False
        return self.smoothed[self.lowest] < (1 - LEAST) * self.smoothed[0]


def exponential(start: float, end: float, steps: int) -> tuple[float, ...]:
    """Return ``steps`` rates from ``start`` to ``end``, in equal ratios."""
    ratio = math.log(end / start)
    return tuple(start * math.exp(ratio * step / (steps - 1)) for step in range(steps))


def sweep(step: Callable[[float], float], rates: Sequence[float]) -> Sweep:
    """Make one training step at each rate, until the loss breaks away or is not finite.

    Args:
        step: makes the next step at a rate and returns its loss, NaN if it could not be made. What
            it trains is its own business; a copy leaves the original as it was.
        rates: ascending.
    """
    width = max(1.0, SMOOTHING * len(rates))
    far = reach(width)
    losses: list[float] = []
    settled = math.inf  # the best of the smoothed losses that later steps do not change
    for rate in rates:
        loss = step(rate)
        if not math.isfinite(loss):
            break
        losses.append(loss)
        latest = smooth(losses[-1 - 2 * far :], width)[-1 - far :]
        if len(losses) > far:
            settled = min(settled, latest[0])
        if latest[-1] > BREAK * min(settled, *latest):
            break
    return Sweep(tuple(rates[: len(losses)]), tuple(losses), tuple(smooth(losses, width)))


def smooth(values: Sequence[float], width: float) -> list[float]:
    """Return the means of all values, weighted by a Gaussian of ``width`` around each."""
    far = reach(width)
    weights = [math.exp(-0.5 * (d / width) ** 2) for d in range(far + 1)]
    found = []
    for at in range(len(values)):
        near = range(max(0, at - far), min(len(values), at + far + 1))
        total = sum(weights[abs(at - each)] for each in near)
        found.append(sum(weights[abs(at - each)] * values[each] for each in near) / total)
    return found


def reach(width: float) -> int:
    """Return how many steps away a value still counts."""
    return math.ceil(3 * width)


def steepest(found: Sweep) -> float | None:
    """Return the rate at which the smoothed loss falls fastest, before its lowest point."""
    if not found.fell:
        return None
    curve, low = found.smoothed, found.lowest
    at = min(range(1, low), key=lambda each: curve[each + 1] - curve[each - 1])
    return found.rates[at]


def valley(found: Sweep) -> float | None:
    """Return the rate at the near edge of the valley's floor: nine tenths of the fall are done.

    (fastai's rule of this name takes the middle of the longest falling subsequence, to which a flat
    and noisy beginning adds.)
    """
    if not found.fell:
        return None
    curve, low = found.smoothed, found.lowest
    level = curve[low] + FLOOR * (curve[0] - curve[low])
    return found.rates[next(at for at in range(low + 1) if curve[at] <= level)]


def tenth(found: Sweep) -> float | None:
    """Return a tenth of the rate at which the smoothed loss is lowest."""
    if not found.fell:
        return None
    return found.rates[found.lowest] / 10


RULES: dict[str, Callable[[Sweep], float | None]] = {
    "steepest": steepest,
    "valley": valley,
    "tenth": tenth,
}
