"""Which epoch was best by the validation part, and when to stop waiting for a better one."""

import math
from typing import Any, Literal

__all__ = ["EarlyStopping"]


class EarlyStopping:
    """Remembers the best value; is done after ``patience`` epochs without a better one.

    Better means lower for the loss and higher for accuracy, by more than ``min_delta``; NaN and
    infinity are never better. With ``patience`` None it only remembers. Final.
    """

    def __init__(
        self, metric: Literal["loss", "top1"], patience: int | None = 7, min_delta: float = 0.0
    ) -> None:
        self.metric = metric
        self.patience = patience
        self.min_delta = min_delta
        self.best: float | None = None
        self.best_epoch: int | None = None
        self.waited = 0

    @property
    def done(self) -> bool:
        """Return whether it is time to stop."""
        return self.patience is not None and self.waited >= self.patience

    def update(self, value: float, epoch: int) -> bool:
        """Take in an epoch's value; return whether it is the best so far."""
        if self._is_better(value):
            self.best, self.best_epoch, self.waited = value, epoch, 0
            return True
        self.waited += 1
        return False

    def _is_better(self, value: float) -> bool:
        if not math.isfinite(value):
            return False
        if self.best is None:
            return True
        gain = self.best - value if self.metric == "loss" else value - self.best
        return gain > self.min_delta

    def state_dict(self) -> dict[str, Any]:
        """Return what has been seen, as plain JSON values."""
        return {"best": self.best, "best_epoch": self.best_epoch, "waited": self.waited}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Load what :meth:`state_dict` gave."""
        self.best, self.best_epoch = state["best"], state["best_epoch"]
        self.waited = state["waited"]
