"""Saying how far something long is."""

import time
from collections.abc import Callable

from convsmith.data.images import Say

__all__ = ["Told"]

EVERY = 1.0  # seconds
WIDTH = 24  # characters of the bar


class Told:
    """Says about once a second how far something is, and how long it still takes. Final."""

    def __init__(
        self, what: str, total: int | None, say: Say, show: Callable[[int], str] = "{:,}".format
    ) -> None:
        self._what, self._total, self._say, self._show = what, total, say, show
        self._first: tuple[float, int] | None = None
        self._last = time.monotonic()

    def now(self, done: int) -> None:
        """Take in how much is done, and tell, if it is time."""
        now = time.monotonic()
        if self._first is None:  # what was there before says nothing of the speed
            self._first = now, done
        if now - self._last < EVERY or done == self._total:
            return
        self._last = now
        text = f"{self._what}  {self._show(done)}"
        rate = (done - self._first[1]) / max(now - self._first[0], 1e-9)
        if self._total and rate > 0:
            share = done / self._total
            bar = "█" * round(WIDTH * share) + "░" * (WIDTH - round(WIDTH * share))
            left = (self._total - done) / rate
            far = f"{self._show(done)} of {self._show(self._total)}, {left:.0f} s left"
            text = f"{self._what}  {bar} {share:4.0%}  {far}"
        self._say(text)
