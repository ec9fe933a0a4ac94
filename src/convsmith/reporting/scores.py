"""Precision, recall and F1 by class, with intervals: a run's ``classes.json``."""

from dataclasses import dataclass

from convsmith.reporting.numbers import percent
from convsmith.reporting.sections import Absent, read_file
from convsmith.runs.folder import RunFolder

__all__ = ["ClassScore", "Range", "Scores", "Total", "read_scores", "totals"]


@dataclass(frozen=True)
class Range:
    """A share and its interval; None where it is not defined."""

    value: float | None
    low: float | None
    high: float | None

    @property
    def words(self) -> str:
        """Return the interval as ``88.1–93.9%``."""
        if self.low is None or self.high is None:
            return ""
        return f"{100 * self.low:.1f}–{100 * self.high:.1f}%"


@dataclass(frozen=True)
class ClassScore:
    """The scores of one class."""

    name: str
    precision: Range
    recall: Range
    f1: Range


@dataclass(frozen=True)
class Scores:
    """The whole of ``classes.json``; ``top_k`` begins with top-1."""

    part: str
    images: int
    confidence: float
    resamples: int
    top_k: tuple[float, ...]
    mean_precision: Range
    mean_recall: Range
    mean_f1: Range
    accuracy: Range
    classes: tuple[ClassScore, ...]


@dataclass(frozen=True)
class Total:
    """One figure over all classes."""

    label: str
    value: str
    note: str = ""


def read_scores(run: RunFolder) -> Scores | Absent:
    """Read the scores of the classes."""
    return read_file(run.classes, Scores)


def totals(scores: Scores) -> tuple[Total, ...]:
    """Return the figures over all classes, and top-k where it says anything."""
    means = (
        ("Accuracy", scores.accuracy),
        ("Mean precision", scores.mean_precision),
        ("Mean recall", scores.mean_recall),
        ("Mean F1", scores.mean_f1),
    )
    found = [Total(label, percent(each.value), each.words) for label, each in means]
    largest = min(len(scores.top_k), len(scores.classes) - 1)
    ranked = [k for k in (2, 3, 5, 10) if k <= largest]
    return (*found, *(Total(f"Top-{k}", percent(scores.top_k[k - 1])) for k in ranked))
