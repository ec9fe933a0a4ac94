"""The optional files of a run folder as plain data; what is absent or damaged says so."""

import base64
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from convsmith.runs.folder import RunFolder, first_fault

__all__ = [
    "Absent",
    "ClassRow",
    "Confusion",
    "Mistake",
    "Mistakes",
    "Mix",
    "Picture",
    "StoredMistake",
    "StoredMistakes",
    "class_rows",
    "commonest",
    "read_confusion",
    "read_file",
    "read_mistakes",
    "read_picture",
    "to_mistake",
]

T = TypeVar("T")

LARGEST_PICTURE = 8 * 2**20  # bytes; the page holds it whole
SMALL = 480  # pixels; up to here a picture is enlarged without being smoothed
MOST_MISTAKES = 60


@dataclass(frozen=True)
class Absent:
    """A part of the page that cannot be shown, and why, in a sentence."""

    reason: str
    damaged: bool


@dataclass(frozen=True)
class Confusion:
    """Images by true class (rows) and predicted class (columns): a run's ``confusion.json``.

    ``alike`` is an order in which classes that are mixed up are neighbours, if there is one.
    """

    part: str
    classes: tuple[str, ...]
    matrix: tuple[tuple[int, ...], ...]
    alike: tuple[int, ...] = ()


@dataclass(frozen=True)
class ClassRow:
    """How one class did; ``share`` is None without an image, ``taken_for`` without a mistake.

    ``number`` is its place in the data.
    """

    number: int
    name: str
    images: int
    right: int
    share: float | None
    taken_for: str | None
    taken_for_images: int


@dataclass(frozen=True)
class Mix:
    """Images of one class that were taken for another, and their share of their class."""

    true: str
    guess: str
    images: int
    share: float


@dataclass(frozen=True)
class StoredMistake:
    """One entry of ``mistakes.json``; points have no image."""

    image: str | None
    label: str
    guess: str
    probability: float | None = None
    index: int | None = None
    name: str | None = None


@dataclass(frozen=True)
class StoredMistakes:
    """The whole of ``mistakes.json``, the most confident mistake first."""

    part: str
    mistakes: tuple[StoredMistake, ...]


@dataclass(frozen=True)
class Picture:
    """A PNG that the page holds: its address and its size in pixels."""

    address: str
    width: int
    height: int

    @property
    def small(self) -> bool:
        """Return whether enlarging must keep the pixels sharp."""
        return max(self.width, self.height) <= SMALL

    @property
    def shown_width(self) -> int:
        """Return the width on the page: a whole multiple, so that all pixels are of one size."""
        return self.width * self.enlarged

    @property
    def shown_height(self) -> int:
        """Return the height that goes with it."""
        return self.height * self.enlarged

    @property
    def enlarged(self) -> int:
        """Return how many times larger a small picture is shown."""
        return max(1, 640 // self.width) if self.small else 1


@dataclass(frozen=True)
class Mistake:
    """A confident mistake with its image, or without where that is not there."""

    label: str
    guess: str
    probability: float | None
    where: str
    picture: Picture | None


@dataclass(frozen=True)
class Mistakes:
    """The most confident mistakes on one part of the data."""

    part: str
    shown: tuple[Mistake, ...]


def read_file(path: Path, kind: type[T]) -> T | Absent:
    """Read one of the optional JSON files."""
    try:
        return TypeAdapter(kind).validate_json(path.read_bytes())
    except FileNotFoundError:
        return Absent(f"{path.name} is not in the run’s folder.", damaged=False)
    except OSError as error:
        return Absent(f"{path.name} cannot be read: {error.strerror or error}.", damaged=True)
    except ValidationError as error:
        return Absent(f"{path.name} is damaged: {first_fault(error)}.", damaged=True)


def read_confusion(run: RunFolder) -> Confusion | Absent:
    """Read the confusion matrix."""
    found = read_file(run.confusion, Confusion)
    if isinstance(found, Absent):
        return found
    size = len(found.classes)
    square = len(found.matrix) == size and all(len(row) == size for row in found.matrix)
    if not square or size == 0 or any(images < 0 for row in found.matrix for images in row):
        return Absent(
            f"confusion.json is damaged: the matrix is not {size} × {size} counts.", damaged=True
        )
    return found


def class_rows(confusion: Confusion) -> tuple[ClassRow, ...]:
    """Return the classes, the least accurate first and those without an image last."""
    rows = []
    for true, (name, counts) in enumerate(zip(confusion.classes, confusion.matrix, strict=True)):
        images, right = sum(counts), counts[true]
        others = ((n, -guess) for guess, n in enumerate(counts) if guess != true)
        mistaken, guess = max(others, default=(0, 0))
        rows.append(
            ClassRow(
                number=true,
                name=name,
                images=images,
                right=right,
                share=right / images if images else None,
                taken_for=confusion.classes[-guess] if mistaken else None,
                taken_for_images=mistaken,
            )
        )
    return tuple(sorted(rows, key=lambda row: (row.share is None, row.share or 0.0, -row.images)))


def commonest(confusion: Confusion, most: int = 10) -> tuple[Mix, ...]:
    """Return the pairs of classes with the most mistakes."""
    mixes = [
        Mix(confusion.classes[true], confusion.classes[guess], images, images / sum(counts))
        for true, counts in enumerate(confusion.matrix)
        for guess, images in enumerate(counts)
        if images and guess != true
    ]
    return tuple(sorted(mixes, key=lambda mix: (-mix.images, -mix.share))[:most])


def read_mistakes(run: RunFolder) -> Mistakes | Absent:
    """Read the most confident mistakes and their images."""
    found = read_file(run.mistakes, StoredMistakes)
    if isinstance(found, Absent):
        return found
    return Mistakes(
        found.part, tuple(to_mistake(run, each) for each in found.mistakes[:MOST_MISTAKES])
    )


def to_mistake(run: RunFolder, stored: StoredMistake) -> Mistake:
    """Return a mistake with its image."""
    return Mistake(
        label=stored.label,
        guess=stored.guess,
        probability=stored.probability,
        where=whereabouts(stored),
        picture=None if stored.image is None else read_picture(run, stored.image),
    )


def whereabouts(mistake: StoredMistake) -> str:
    """Return how the image is found again: by its file's name, else by its number."""
    if mistake.name:
        return mistake.name
    return "" if mistake.index is None else f"image {mistake.index}"


def read_picture(run: RunFolder, name: str) -> Picture | None:
    """Return a PNG of the run's own folder; None where there is none that is whole."""
    try:
        path = (run.path / name).resolve()
        if not path.is_relative_to(run.path.resolve()) or not path.is_file():
            return None
        return to_picture(path)
    except (OSError, ValueError):
        return None


def to_picture(path: Path) -> Picture | None:
    """Return a file as a picture if it begins and ends as a PNG does."""
    if path.stat().st_size > LARGEST_PICTURE:
        return None
    content = path.read_bytes()
    begins = content[:8] == b"\x89PNG\r\n\x1a\n" and content[12:16] == b"IHDR"
    if not begins or content[-8:-4] != b"IEND":
        return None
    width, height = struct.unpack(">II", content[16:24])
    if not width or not height:
        return None
    encoded = base64.b64encode(content).decode("ascii")
    return Picture(f"data:image/png;base64,{encoded}", width, height)
