"""What rules look at, and what they find."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from convsmith.insight.survey import Survey
from convsmith.insight.watch import Reading

__all__ = [
    "Epoch",
    "Evidence",
    "Finding",
    "Leak",
    "Level",
    "NonFinite",
    "Plot",
    "Rule",
    "Settings",
    "Severity",
    "norm_sets",
    "rate_sets",
]

Severity = Literal["bad", "warn"]


@dataclass(frozen=True)
class Epoch:
    """The end of an epoch, counted from 1; accuracies are shares. None is what was not measured."""

    epoch: int
    step: int
    train_loss: float | None
    train_top1: float | None
    val_loss: float | None
    val_top1: float | None


@dataclass(frozen=True)
class NonFinite:
    """The first step, counted from 0, with a value that is NaN or infinite, and where it arose."""

    step: int
    where: str  # "in the output of `stage2.0.conv1`", or nothing if it is not known


@dataclass(frozen=True)
class Leak:
    """Held-out images that are nearly the same as a training image.

    ``copies`` of ``images`` held-out ones; ``likeness`` is sorted, the likest first, and
    ``examples`` are pairs of indices or file names, (held out, training).
    """

    images: int
    copies: int
    likeness: tuple[float, ...]
    examples: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Settings:
    """The values of a recipe that advice is given in terms of.

    ``rates`` are the optimizer's rates by option name, the learning rate first; ``norm`` is the
    network's option, None if it has none; ``mixed`` is whether training images are mixed with one
    another, which keeps their loss high; ``chosen`` is whether the validation part chooses when to
    stop or which weights to keep.
    """

    rates: tuple[tuple[str, float], ...]
    batch_size: int
    epochs: int
    precision: str
    clip_norm: float | None
    weight_decay: float
    norm: str | None
    dropout: float | None
    augmented: bool
    mixed: bool
    balanced: bool
    chosen: bool


@dataclass(frozen=True)
class Evidence:
    """Everything that is known of a training. Empty or None is what was not looked at.

    ``losses`` are by step, counted from 1; ``counts`` are training images by class. ``complete`` is
    whether the training came to its end.
    """

    classes: tuple[str, ...]
    counts: tuple[int, ...]
    validation: int
    settings: Settings
    complete: bool = False
    losses: tuple[tuple[int, float], ...] = ()
    epochs: tuple[Epoch, ...] = ()
    readings: tuple[Reading, ...] = ()
    trained: Survey | None = None
    held_out: Survey | None = None
    leak: Leak | None = None
    nonfinite: NonFinite | None = None


@dataclass(frozen=True)
class Level:
    """A horizontal line of a plot, with a word to it."""

    y: float
    label: str


@dataclass(frozen=True)
class Plot:
    """A small plot: one line, and the threshold that it is held against."""

    title: str
    x_label: str
    points: tuple[tuple[float, float], ...]
    log: bool = False
    level: Level | None = None


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, with its evidence.

    ``layer`` and ``step`` (counted from 1) say where, as far as there is a where; ``sets`` are
    ``--set`` values that mend it or show whether the cause is the likely one.
    """

    rule: str
    severity: Severity
    what: str
    evidence: str
    cause: str
    change: str
    sets: tuple[str, ...] = ()
    layer: str | None = None
    step: int | None = None
    epoch: int | None = None
    plot: Plot | None = None


Rule = Callable[[Evidence], Iterator[Finding]]


def rate_sets(settings: Settings, factor: float) -> tuple[str, ...]:
    """Return the ``--set`` values that multiply all rates of the optimizer."""
    return tuple(f"optimizer.{name}={rate * factor:.2g}" for name, rate in settings.rates)


def norm_sets(settings: Settings) -> tuple[str, ...]:
    """Return the ``--set`` of another normalisation, where the network has that option."""
    if settings.norm is None:
        return ()
    return (f"model.norm={'group' if settings.norm == 'batch' else 'batch'}",)
