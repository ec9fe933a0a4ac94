"""Mistakes with their images, by pair of classes and by class: a run's ``examples.json``."""

from dataclasses import dataclass

from convsmith.reporting.sections import (
    Absent,
    Confusion,
    Mistake,
    StoredMistake,
    read_file,
    to_mistake,
)
from convsmith.runs.folder import RunFolder

__all__ = ["ClassExamples", "Examples", "PairExamples", "read_examples"]

MOST = 12  # of a class or pair
MOST_PAIRS = 20


@dataclass(frozen=True)
class StoredPair:
    """The mistakes of one label and guess."""

    label: str
    guess: str
    examples: tuple[StoredMistake, ...]


@dataclass(frozen=True)
class StoredClass:
    """Images of a class that were taken for others, and of others that were taken for it."""

    name: str
    missed: tuple[StoredMistake, ...]
    taken: tuple[StoredMistake, ...]


@dataclass(frozen=True)
class StoredExamples:
    """The whole of ``examples.json``."""

    part: str
    pairs: tuple[StoredPair, ...]
    classes: tuple[StoredClass, ...]


@dataclass(frozen=True)
class PairExamples:
    """A pair of classes with some of its mistakes; ``images`` counts all of them."""

    label: str
    guess: str
    images: int
    share: float
    shown: tuple[Mistake, ...]


@dataclass(frozen=True)
class ClassExamples:
    """The mistakes of one class, on both sides."""

    missed: tuple[Mistake, ...] = ()
    taken: tuple[Mistake, ...] = ()


@dataclass(frozen=True)
class Examples:
    """The pairs, the commonest first, and what belongs to each class."""

    part: str
    pairs: tuple[PairExamples, ...]
    classes: dict[str, ClassExamples]


def read_examples(run: RunFolder, confusion: Confusion) -> Examples | Absent:
    """Read the mistakes with their images; what the confusion matrix does not know is left out."""
    found = read_file(run.examples, StoredExamples)
    if isinstance(found, Absent):
        return found
    pairs = (to_pair(run, confusion, each) for each in found.pairs[:MOST_PAIRS])
    return Examples(
        part=found.part,
        pairs=tuple(pair for pair in pairs if pair is not None),
        classes={
            each.name: ClassExamples(mistakes(run, each.missed), mistakes(run, each.taken))
            for each in found.classes
        },
    )


def to_pair(run: RunFolder, confusion: Confusion, pair: StoredPair) -> PairExamples | None:
    """Return a pair with its images and numbers."""
    if pair.label not in confusion.classes or pair.guess not in confusion.classes:
        return None
    row = confusion.matrix[confusion.classes.index(pair.label)]
    images = row[confusion.classes.index(pair.guess)]
    if not images:
        return None
    return PairExamples(
        pair.label, pair.guess, images, images / sum(row), mistakes(run, pair.examples)
    )


def mistakes(run: RunFolder, stored: tuple[StoredMistake, ...]) -> tuple[Mistake, ...]:
    """Return mistakes with their images."""
    return tuple(to_mistake(run, each) for each in stored[:MOST])
