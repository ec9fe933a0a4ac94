"""A run's ``label_errors.json``: labels that somebody should look at."""

from dataclasses import dataclass

from convsmith.reporting.numbers import percent
from convsmith.reporting.sections import Absent, Picture, read_file, read_picture
from convsmith.runs.folder import RunFolder

__all__ = ["Labels", "Suspect", "read_labels"]

MOST = 60
WORDS = {"train": "training", "validation": "validation"}


@dataclass(frozen=True)
class StoredSuspect:
    """One label that looks wrong."""

    part: str
    index: int
    name: str | None
    label: str
    suggested: str
    label_probability: float | None
    suggested_probability: float | None
    image: str | None


@dataclass(frozen=True)
class StoredPart:
    """What was looked through; ``agreeing`` is the share of labels that were guessed.

    ``folds`` networks judged it, each the labels that it had not seen; 0 is the run's own.
    """

    part: str
    images: int
    found: int
    agreeing: float
    folds: int = 0


@dataclass(frozen=True)
class Stored:
    """The whole of ``label_errors.json``, the likeliest error first."""

    parts: tuple[StoredPart, ...]
    errors: tuple[StoredSuspect, ...]


@dataclass(frozen=True)
class Suspect:
    """One label that looks wrong, with its image, or without where that is not there."""

    label: str
    suggested: str
    label_probability: float | None
    suggested_probability: float | None
    where: str
    picture: Picture | None


@dataclass(frozen=True)
class Labels:
    """What the section shows."""

    lines: tuple[str, ...]
    shown: tuple[Suspect, ...]
    all: int


def read_labels(run: RunFolder) -> Labels | Absent:
    """Read the labels that look wrong."""
    found = read_file(run.label_errors, Stored)
    if isinstance(found, Absent):
        return found
    shown = tuple(
        Suspect(
            label=each.label,
            suggested=each.suggested,
            label_probability=each.label_probability,
            suggested_probability=each.suggested_probability,
            where=each.name or f"{WORDS.get(each.part, each.part)} image {each.index}",
            picture=None if each.image is None else read_picture(run, each.image),
        )
        for each in found.errors[:MOST]
    )
    return Labels(tuple(map(told, found.parts)), shown, len(found.errors))


def told(part: StoredPart) -> str:
    """Return in a sentence what was found in one part."""
    words = f"{part.found:,} of {part.images:,} {WORDS.get(part.part, part.part)} labels look wrong"
    if part.folds:
        return (
            f"{words} to {part.folds} networks, each of which judged those that it was not "
            f"trained on; they agree with {percent(part.agreeing)}."
        )
    if part.part != "train":
        return f"{words}. It was not trained on, so nothing of it is known by heart."
    return (
        f"{words}. These were trained on, wrong ones too, and the network has learned "
        f"{percent(part.agreeing)} of them: what it knows by heart it does not find."
    )
