"""The results of a finished run: what ``results.json`` holds and ``train --json`` prints."""

import math
from dataclasses import dataclass
from statistics import fmean, pstdev
from typing import Self

__all__ = ["PerClass", "Results", "Score"]


@dataclass(frozen=True)
class Score:
    """Accuracies (fractions) and mean loss over one part of the data, each image counting once.

    ``loss`` is None if it was not finite.
    """

    top1: float
    top5: float
    loss: float | None
    images: int

    def __post_init__(self) -> None:
        if self.loss is not None and not math.isfinite(self.loss):
            object.__setattr__(self, "loss", None)

    def __str__(self) -> str:
        loss = "not finite" if self.loss is None else f"{self.loss:.4f}"
        return f"top-1 {self.top1:.2%}  top-5 {self.top5:.2%}  loss {loss}"


@dataclass(frozen=True)
class PerClass:
    """How the test accuracies of the classes are spread (fractions; population deviation)."""

    mean: float
    std: float
    min: float
    max: float

    @classmethod
    def of(cls, accuracies: tuple[float, ...]) -> Self:
        """Summarise one accuracy a class; classes without an image are not in it."""
        seen = [accuracy for accuracy in accuracies if not math.isnan(accuracy)]
        return cls(fmean(seen), pstdev(seen), min(seen), max(seen))


@dataclass(frozen=True)
class Results:
    """Everything a run reached, with what was measured on the way.

    ``images_per_second`` is the median over training steps after the first ten, loading and
    augmentation included; ``seconds`` is the whole training with validation and checkpoints.
    """

    run: str
    test: Score
    val: Score | None
    epochs: int
    steps: int
    best_epoch: int | None
    weights: str  # "best" or "last"
    averaged: bool  # whether they are the moving average
    trained_on_all: bool  # whether no validation part was kept back
    seconds: float
    images_per_second: float | None
    eval_images_per_second: float
    peak_memory_bytes: int
    parameters: int
    model_bytes: int
    per_class: PerClass
