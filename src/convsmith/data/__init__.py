"""Data sets: one uint8 tensor each; splitting, augmenting and batching them."""

import os
from collections.abc import Callable
from pathlib import Path

from convsmith.data.digits import digits
from convsmith.data.idx import fashion_mnist, mnist
from convsmith.data.images import Images, Source
from convsmith.data.own import own_source
from convsmith.data.points import circles, moons
from convsmith.errors import DataError, did_you_mean

__all__ = ["SOURCES", "Images", "Source", "find_root", "load_source", "own_source"]

SOURCES: dict[str, Callable[[Path], Source]] = {
    "circles": circles,
    "digits": digits,
    "fashion_mnist": fashion_mnist,
    "mnist": mnist,
    "moons": moons,
}


def load_source(name: str, root: Path) -> Source:
    """Read the data set called ``name``.

    Raises:
        DataError: there is no such data set, or its files are missing or broken.
    """
    if name not in SOURCES:
        known = ", ".join(SOURCES)
        raise DataError(f"no data set is called {name!r}{did_you_mean(name, SOURCES)}: {known}")
    return SOURCES[name](root)


def find_root(option: str | os.PathLike[str] | None = None) -> Path:
    """Return where data sets lie: the option, else ``CONVSMITH_DATA``, else ``data``."""
    return Path(option or os.environ.get("CONVSMITH_DATA") or "data").expanduser()
