"""What is known of a data set without reading its images."""

from dataclasses import dataclass
from pathlib import Path

from convsmith.data import FILES, SOURCES
from convsmith.data.files import look, usual_size
from convsmith.data.images import Source
from convsmith.errors import DataError, did_you_mean

__all__ = ["Facts", "facts", "facts_of"]


@dataclass(frozen=True)
class Facts:
    """A data set's size and form; ``test`` is 0 where none is given; ``notes`` say what is assumed.

    ``value_bytes`` is 1 for images and 4 for points.
    """

    train: int
    test: int
    classes: int
    channels: int
    image_size: tuple[int, int]
    value_bytes: int = 1
    notes: tuple[str, ...] = ()

    def trained(self, test: float, validation: float) -> int:
        """Return how many images are trained on when such shares of them are kept apart."""
        rest = self.train if self.test else self.train - round(self.train * test)
        return max(1, rest - round(rest * validation))

    @property
    def bytes_in_memory(self) -> int:
        """Return what all images take in memory, with their labels."""
        height, width = self.image_size
        each = self.channels * height * width * self.value_bytes + 8
        return (self.train + self.test) * each


KNOWN = {  # of published data sets, by their papers; the rest is made or read by scikit-learn
    "cifar10": Facts(50_000, 10_000, 10, 3, (32, 32)),
    "cifar100": Facts(50_000, 10_000, 100, 3, (32, 32)),
    "circles": Facts(2_000, 1_000, 2, 2, (1, 1), 4),
    "digits": Facts(1_797, 0, 10, 1, (8, 8)),
    "fashion_mnist": Facts(60_000, 10_000, 10, 1, (28, 28)),
    "mnist": Facts(60_000, 10_000, 10, 1, (28, 28)),
    "moons": Facts(2_000, 1_000, 2, 2, (1, 1), 4),
}
ASSUMED = Facts(1_000, 0, 10, 3, (128, 128))


def facts(source: str, image_size: tuple[int, int] | None, channels: int | None) -> Facts:
    """Return what is known of the source called ``source``; its files are listed, not read.

    Args:
        source: a data set's name, ``folder:PATH`` or ``csv:PATH``.
        image_size: (height, width) that images are made to have; None is their own.
        channels: that they are made to have; None is their own.

    Raises:
        DataError: there is no such source.
    """
    kind, colon, path = source.partition(":")
    if source in KNOWN:
        found = KNOWN[source]
    elif kind in FILES and colon:
        found = listed(kind, Path(path).expanduser())
    else:
        raise DataError(f"nothing is known of {source!r}{did_you_mean(source, SOURCES)}")
    return Facts(
        found.train,
        found.test,
        found.classes,
        channels or found.channels,
        image_size or found.image_size,
        found.value_bytes,
        found.notes,
    )


def facts_of(source: Source) -> Facts:
    """Return the same of a source that has been read."""
    return Facts(
        train=len(source.train),
        test=0 if source.test is None else len(source.test),
        classes=len(source.classes),
        channels=source.train.channels,
        image_size=source.train.image_size,
        value_bytes=source.train.pixels.element_size(),
    )


def listed(kind: str, path: Path) -> Facts:
    """Return what a list of files says, or an assumption where there are no files yet."""
    if not path.exists():
        note = (
            f"{kind}:{path} is not there: {ASSUMED.train:,} images in {ASSUMED.classes} classes "
            "are assumed"
        )
        return Facts(ASSUMED.train, 0, ASSUMED.classes, 3, ASSUMED.image_size, notes=(note,))
    listing = FILES[kind](path)
    parts = [entry.part for entry in listing.entries]
    sizes, grey = look(listing)
    return Facts(
        train=sum(part in ("", "train") for part in parts),
        test=sum(part == "test" for part in parts),
        classes=len({entry.label for entry in listing.entries}),
        channels=1 if grey else 3,
        image_size=usual_size(sizes),
    )
