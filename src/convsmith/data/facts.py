"""What is known of a data set without reading its images."""

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from convsmith.data import FILES, SOURCES
from convsmith.data.files import look, number_groups, usual_size
from convsmith.data.images import Source
from convsmith.errors import DataError, did_you_mean

__all__ = ["Facts", "facts", "facts_of"]


@dataclass(frozen=True)
class Facts:
    """A data set's size and form; ``notes`` say what is assumed.

    ``labels`` and ``groups`` are those of a source's training images, in any order;
    ``validation`` and ``test`` count the images of parts that are given, 0 where they are split
    off. ``value_bytes`` is 1 for images and 4 for points.
    """

    labels: Tensor
    classes: int
    channels: int
    image_size: tuple[int, int]
    test: int = 0
    validation: int = 0
    groups: Tensor | None = None
    value_bytes: int = 1
    notes: tuple[str, ...] = ()

    @property
    def given(self) -> frozenset[str]:
        """Return the parts that are not split off."""
        counts = {"test": self.test, "validation": self.validation}
        return frozenset(part for part, count in counts.items() if count)

    @property
    def bytes_in_memory(self) -> int:
        """Return what all images take in memory, with their labels."""
        height, width = self.image_size
        each = self.channels * height * width * self.value_bytes + 8
        return (len(self.labels) + self.validation + self.test) * each


@dataclass(frozen=True)
class Known:
    """The training images of each class, and the rest as in :class:`Facts`."""

    counts: tuple[int, ...]
    test: int
    channels: int
    image_size: tuple[int, int]
    value_bytes: int = 1

    def facts(self, notes: tuple[str, ...] = ()) -> Facts:
        """Return the facts."""
        counts = torch.tensor(self.counts)
        return Facts(
            labels=torch.arange(len(counts)).repeat_interleave(counts),
            classes=len(counts),
            channels=self.channels,
            image_size=self.image_size,
            test=self.test,
            value_bytes=self.value_bytes,
            notes=notes,
        )


MNIST = (5_923, 6_742, 5_958, 6_131, 5_842, 5_421, 5_918, 6_265, 5_851, 5_949)
DIGITS = (142, 146, 142, 146, 145, 146, 145, 143, 139, 144)
KNOWN = {  # of published data sets, by their papers; the rest is made or read by scikit-learn
    "cifar10": Known(10 * (5_000,), 10_000, 3, (32, 32)),
    "cifar100": Known(100 * (500,), 10_000, 3, (32, 32)),
    "circles": Known(2 * (1_000,), 1_000, 2, (1, 1), 4),
    "digits": Known(DIGITS, 359, 1, (8, 8)),
    "fashion_mnist": Known(10 * (6_000,), 10_000, 1, (28, 28)),
    "mnist": Known(MNIST, 10_000, 1, (28, 28)),
    "moons": Known(2 * (1_000,), 1_000, 2, (1, 1), 4),
}
ASSUMED = Known(10 * (100,), 0, 3, (128, 128))


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
        found = KNOWN[source].facts()
    elif kind in FILES and colon:
        found = listed(kind, Path(path).expanduser())
    else:
        raise DataError(f"nothing is known of {source!r}{did_you_mean(source, SOURCES)}")
    return replace(
        found,
        channels=channels or found.channels,
        image_size=image_size or found.image_size,
    )


def facts_of(source: Source) -> Facts:
    """Return the same of a source that has been read."""
    return Facts(
        labels=source.train.labels,
        classes=len(source.classes),
        channels=source.train.channels,
        image_size=source.train.image_size,
        test=0 if source.test is None else len(source.test),
        validation=0 if source.validation is None else len(source.validation),
        groups=source.groups,
        value_bytes=source.train.pixels.element_size(),
    )


def listed(kind: str, path: Path) -> Facts:
    """Return what a list of files says, or an assumption where there are no files yet."""
    if not path.exists():
        note = (
            f"{kind}:{path} is not there: {sum(ASSUMED.counts):,} images in {len(ASSUMED.counts)} "
            "classes are assumed"
        )
        return ASSUMED.facts((note,))
    listing = FILES[kind](path)
    parts = Counter(entry.part for entry in listing.entries)
    trained = [entry for entry in listing.entries if entry.part in ("", "train")]
    number = {label: index for index, label in enumerate(listing.classes)}
    sizes, grey = look(listing)
    return Facts(
        labels=torch.tensor([number[entry.label] for entry in trained]),
        classes=len(listing.classes),
        channels=1 if grey else 3,
        image_size=usual_size(sizes),
        test=parts["test"],
        validation=parts["validation"],
        groups=number_groups([entry.group for entry in trained]),
    )
