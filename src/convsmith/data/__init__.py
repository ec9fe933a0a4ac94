"""Data sets: where images come from, how they are split, changed at random and batched."""

import os
from collections.abc import Callable
from pathlib import Path

from convsmith.data.archives import ARCHIVES, download_source
from convsmith.data.cifar import cifar10, cifar100
from convsmith.data.digits import digits
from convsmith.data.files import Reading, files_source
from convsmith.data.idx import fashion_mnist, mnist
from convsmith.data.images import Images, Say, Source
from convsmith.data.listing import list_csv, list_folder
from convsmith.data.own import own_source
from convsmith.data.points import circles, moons
from convsmith.data.reshape import reshape
from convsmith.errors import DataError, DataNotFound, did_you_mean

__all__ = [
    "FILES",
    "SOURCES",
    "Images",
    "Reading",
    "Say",
    "Source",
    "find_root",
    "is_source",
    "load_source",
    "own_source",
]

SOURCES: dict[str, Callable[[Path, Say], Source]] = {
    "cifar10": cifar10,
    "cifar100": cifar100,
    "circles": circles,
    "digits": digits,
    "fashion_mnist": fashion_mnist,
    "mnist": mnist,
    "moons": moons,
}
FILES = {"folder": list_folder, "csv": list_csv}  # a source may be folder:PATH or csv:PATH


def is_source(name: str) -> bool:
    """Return whether ``name`` is a data set's, or says a folder or CSV file."""
    kind, colon, path = name.partition(":")
    return name in SOURCES or (kind in FILES and bool(colon and path))


def load_source(
    name: str,
    root: Path,
    reading: Reading | None = None,
    say: Say = lambda text: None,
    *,
    online: bool = False,
) -> Source:
    """Read the data set called ``name``, or ``folder:PATH`` or ``csv:PATH``.

    Args:
        name: the data set.
        root: where data sets lie; a relative PATH is that of the working folder.
        reading: how image files are read.
        say: told how far a long reading is.
        online: download a published data set that is missing, unless ``CONVSMITH_OFFLINE`` is set.

    Raises:
        DataError: there is no such data set, or its files are missing or broken.
    """
    kind, colon, path = name.partition(":")
    if kind in FILES and colon:
        listing = FILES[kind](Path(path).expanduser())
        return files_source(name, listing, reading or Reading(), say, mirrored=True)
    if name not in SOURCES:
        known = ", ".join([*SOURCES, "folder:PATH", "csv:PATH"])
        raise DataError(f"no data set is called {name!r}{did_you_mean(name, SOURCES)}: {known}")
    try:
        source = SOURCES[name](root, say)
    except DataNotFound:
        if not online or name not in ARCHIVES or os.environ.get("CONVSMITH_OFFLINE"):
            raise
        download_source(name, root, say)
        source = SOURCES[name](root, say)
    if reading is None:
        return source
    return reshape(source, reading.image_size, reading.channels)


def find_root(option: str | os.PathLike[str] | None = None) -> Path:
    """Return where data sets lie: the option, else ``CONVSMITH_DATA``, else ``data``."""
    return Path(option or os.environ.get("CONVSMITH_DATA") or "data").expanduser()
