"""The explanations in a run's folder, as its page shows them."""

from dataclasses import dataclass

from convsmith.reporting.sections import Absent, Picture, read_file, read_picture
from convsmith.runs.folder import RunFolder

__all__ = ["Gallery", "Shown", "StoredExplanation", "StoredExplanations", "read_explanations"]

MOST = 60


@dataclass(frozen=True)
class StoredExplanation:
    """One image that was explained.

    ``strip`` is its picture in the run's folder: image, map, and both. ``label`` is its class,
    ``faithful`` whether the map marks what counts, None if that is not known.
    """

    strip: str
    where: str
    label: str | None
    guess: str
    probability: float
    target: str
    target_probability: float
    faithful: bool | None
    words: str
    figures: str


@dataclass(frozen=True)
class StoredExplanations:
    """A file in ``explain/``: the same method and layer for several images."""

    title: str
    method: str
    words: str
    explanations: tuple[StoredExplanation, ...]


@dataclass(frozen=True)
class Shown:
    """One explanation, with its picture if that is there and whole."""

    stored: StoredExplanation
    picture: Picture | None


@dataclass(frozen=True)
class Gallery:
    """Explanations by one method."""

    title: str
    method: str
    words: str
    shown: tuple[Shown, ...]


def read_explanations(run: RunFolder) -> tuple[Gallery | Absent, ...]:
    """Return what was explained, mistakes first, then by the files' names; perhaps nothing."""
    galleries: list[Gallery | Absent] = []
    paths = run.explanations.glob("*.json")
    for path in sorted(paths, key=lambda path: (not path.name.startswith("mistakes"), path.name)):
        found = read_file(path, StoredExplanations)
        if isinstance(found, Absent):
            galleries.append(found)
            continue
        shown = [Shown(each, read_picture(run, each.strip)) for each in found.explanations[:MOST]]
        galleries.append(Gallery(found.title, found.method, found.words, tuple(shown)))
    return tuple(galleries)
