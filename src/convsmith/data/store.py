"""A data set's images, decoded once into one file that processes map into memory and share.

Layout of a store, in the user's cache folder::

    stores/photos-3f2a…/
    ├── pixels.bin     uint8, (N, H, W, C), image after image
    └── index.json     rule, classes, files with size, time and checksum, and what was left out

A store belongs to a list of files with their sizes, times, labels and parts, to a rule and to this
module's version: if one of them changes, another store is made. It is written under another name
and renamed, so it is whole or not there, and never changed afterwards. One that nobody has opened
for two months is removed when another is made.
"""

import hashlib
import json
import os
import shutil
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any

import numpy
import torch
from pydantic import TypeAdapter, ValidationError
from torch import Tensor

from convsmith.data.decode import Resize, decode_quietly, quiet
from convsmith.data.images import Say
from convsmith.data.listing import Entry, Listing, Problem
from convsmith.data.told import Told
from convsmith.errors import DataError

__all__ = [
    "Rule",
    "Store",
    "Stored",
    "open_store",
    "root_of",
    "stores_of",
    "unreadable",
    "verify_store",
]

VERSION = 2
PIXELS, INDEX = "pixels.bin", "index.json"
UNUSED = 60 * 86_400  # seconds


@dataclass(frozen=True)
class Rule:
    """How files become pixels; see :func:`convsmith.data.decode.decode`."""

    channels: int
    image_size: tuple[int, int]
    resize: Resize = "stretch"


@dataclass(frozen=True)
class Stored:
    """One image of a store: the file it came from and the BLAKE2b checksum of that file."""

    entry: Entry
    checksum: str


@dataclass(frozen=True)
class Index:
    """The content of ``index.json``."""

    version: int
    root: str
    rule: Rule
    listed: str  # a checksum of all files with their sizes and times
    digest: str  # of pixels.bin
    images: tuple[Stored, ...]
    problems: tuple[Problem, ...]


@dataclass(frozen=True)
class Store:
    """A store that is whole: ``pixels`` ``(N, C, H, W)`` uint8, mapped, channels_last."""

    folder: Path
    pixels: Tensor
    digest: str
    images: tuple[Stored, ...]
    problems: tuple[Problem, ...]


def open_store(listing: Listing, rule: Rule, stores: Path, name: str, say: Say) -> Store:
    """Return the store of the listed files, decoding them if there is none that fits.

    Files that cannot be decoded are in ``problems`` and have no row.

    Args:
        listing: the files.
        rule: how they become pixels.
        stores: the folder of all stores.
        name: the beginning of the store's own.
        say: told how far it is and how long it still takes.

    Raises:
        DataError: the disk has not the room.
    """
    root = str(listing.root.absolute())
    listed = checksum_of(listing)
    key = hashlib.blake2b(repr((root, rule, VERSION, listed)).encode(), digest_size=8).hexdigest()
    folder = stores / f"{name}-{key}"
    index = read_index(folder) or build(listing, rule, folder, listed, say)
    with suppress(OSError):  # a cache that may only be read
        os.utime(folder / INDEX)
    shape = (len(index.images), *rule.image_size, rule.channels)
    pixels = map_pixels(folder, shape).permute(0, 3, 1, 2)
    return Store(folder, pixels, index.digest, index.images, index.problems)


def stores_of(listing: Listing, stores: Path) -> tuple[list[Path], list[Path]]:
    """Return the stores of just these files as they are, and the older ones of their folder.

    For each rule it is the one that was opened last.
    """
    root, listed = str(listing.root.absolute()), checksum_of(listing)
    newest: dict[tuple[bool, Rule], tuple[float, Path]] = {}
    for path in stores.glob(f"*/{INDEX}"):
        index = read_index(path.parent)
        if index is not None and index.root == root:
            key = (index.listed == listed, index.rule)
            found = (path.stat().st_mtime, path.parent)
            newest[key] = max(found, newest.get(key, found))
    present = sorted(folder for (same, _), (_, folder) in newest.items() if same)
    older = sorted(folder for (same, _), (_, folder) in newest.items() if not same)
    return present, older


def root_of(folder: Path) -> Path | None:
    """Return the folder that the names of a store's files start from; None if it is not whole."""
    index = read_index(folder)
    return None if index is None else Path(index.root)


def verify_store(folder: Path) -> tuple[int, list[Problem]]:
    """Read every byte again, of a store and of the files it came from.

    Returns:
        The number of files, and what cannot be read or is not as it was.
    """
    index = read_index(folder)
    if index is None:
        return 0, [Problem(str(folder), "is no whole store")]
    root, problems = Path(index.root), list(index.problems)
    if hash_file(folder / PIXELS) != index.digest:
        problems.append(Problem(str(folder / PIXELS), "is not as it was written"))
    for each in index.images:
        try:
            same = hash_file(root / each.entry.path) == each.checksum
        except OSError as error:
            problems.append(Problem(each.entry.path, f"cannot be read: {error.strerror}"))
            continue
        if not same:
            problems.append(Problem(each.entry.path, "has changed since it was decoded"))
    return len(index.images), problems


def unreadable(listing: Listing, say: Say) -> list[Problem]:
    """Decode every file and keep nothing; return what cannot be."""
    told = Told("decoding images", len(listing.entries), say)
    problems = []
    with quiet():
        for done, (_, result) in enumerate(decode_all(listing, Rule(3, (32, 32)))):
            told.now(done)
            if isinstance(result, Problem):
                problems.append(result)
    return problems


def checksum_of(listing: Listing) -> str:
    """Return a checksum of the names, sizes, times, labels and parts of all files."""
    checksum = hashlib.blake2b(digest_size=16)
    for entry in listing.entries:
        checksum.update(repr(entry).encode())
    return checksum.hexdigest()


def read_index(folder: Path) -> Index | None:
    """Return a store's index; None if there is no whole store of this version."""
    try:
        index = TypeAdapter(Index).validate_json((folder / INDEX).read_bytes())
        expected = len(index.images) * bytes_of(index.rule)
        whole = (folder / PIXELS).stat().st_size == expected
    except (OSError, ValidationError):
        return None
    return index if whole and index.version == VERSION else None


def bytes_of(rule: Rule) -> int:
    """Return the bytes of one image."""
    return rule.channels * rule.image_size[0] * rule.image_size[1]


def map_pixels(folder: Path, shape: tuple[int, ...]) -> Tensor:
    """Map the pixels into memory: read when used, shared by all processes, never written."""
    count = int(numpy.prod(shape))
    if count == 0:
        return torch.empty(shape, dtype=torch.uint8)
    path = str(folder / PIXELS)
    return torch.from_file(path, shared=False, size=count, dtype=torch.uint8).view(shape)


def build(listing: Listing, rule: Rule, folder: Path, listed: str, say: Say) -> Index:
    """Decode every file in parallel and write the store."""
    needed = len(listing.entries) * bytes_of(rule)
    draft = folder.with_name(f".{folder.name}.{os.getpid()}")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(folder.parent).free
        if needed + 2**20 > free:
            raise DataError(
                f"{folder.parent} has {free / 2**30:.1f} GiB free, the decoded images take "
                f"{needed / 2**30:.1f}: make room, name another cache folder in XDG_CACHE_HOME, or "
                "set a smaller data.image_size"
            )
        clear(folder.parent)
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir()
        index = write(listing, rule, draft, listed, say)
        if read_index(folder) is None:  # else another process was first
            shutil.rmtree(folder, ignore_errors=True)
            try:
                draft.rename(folder)
            except OSError:  # or was just now
                if read_index(folder) is None:
                    raise
    except OSError as error:
        raise DataError(f"{folder} cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return index


def clear(stores: Path) -> None:
    """Remove stores that are long unused, and what killed processes left of theirs."""
    for left in stores.glob(".*.*"):
        if not running(left.suffix[1:]):
            shutil.rmtree(left, ignore_errors=True)
    for index in stores.glob(f"*/{INDEX}"):
        if time.time() - index.stat().st_mtime > UNUSED:
            shutil.rmtree(index.parent, ignore_errors=True)


def running(process: str) -> bool:
    """Return whether a process of that number may be running."""
    if sys.platform == "win32":  # where asking would end it
        return True
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return False
    except (OSError, ValueError):
        pass
    return True


def write(listing: Listing, rule: Rule, draft: Path, listed: str, say: Say) -> Index:
    """Write the two files of a store."""
    images, problems = [], []
    digest = hashlib.blake2b(digest_size=16)
    told = Told("decoding images", len(listing.entries), say)
    with quiet(), (draft / PIXELS).open("wb") as file:
        for done, (entry, result) in enumerate(decode_all(listing, rule)):
            told.now(done)
            if isinstance(result, Problem):
                problems.append(result)
            else:
                pixels, checksum = result
                row = pixels.permute(1, 2, 0).numpy().tobytes()
                file.write(row)
                digest.update(row)
                images.append(Stored(entry, checksum))
        file.flush()
        os.fsync(file.fileno())
    root = str(listing.root.absolute())
    index = Index(VERSION, root, rule, listed, digest.hexdigest(), tuple(images), tuple(problems))
    with (draft / INDEX).open("w", encoding="utf-8") as text:
        json.dump(asdict(index), text)
        text.flush()
        os.fsync(text.fileno())
    return index


def decode_all(
    listing: Listing, rule: Rule
) -> Iterator[tuple[Entry, tuple[Tensor, str] | Problem]]:
    """Decode the files in several threads; yield them in their order, a few ahead.

    The caller keeps Pillow quiet around all of them.
    """
    workers = os.cpu_count() or 1
    waiting: list[tuple[Entry, Future[Any]]] = []
    with ThreadPoolExecutor(workers) as pool:
        for entry in listing.entries:
            waiting.append((entry, pool.submit(decode_entry, listing.root, entry, rule)))
            if len(waiting) > 8 * workers:
                first, future = waiting.pop(0)
                yield first, future.result()
        for first, future in waiting:
            yield first, future.result()


def decode_entry(root: Path, entry: Entry, rule: Rule) -> tuple[Tensor, str] | Problem:
    """Return one file's pixels and its checksum, or why there are none.

    What a decoder does not ask for is not kept in memory: any file can be called an image.
    """
    path = root / entry.path
    try:
        with path.open("rb") as file:
            pixels = decode_quietly(file, rule.channels, rule.image_size, rule.resize)
            file.seek(0)
            return pixels, blake2b(file)
    except OSError as error:
        return Problem(entry.path, f"cannot be read: {error.strerror or error}")
    except DataError as error:
        return Problem(entry.path, str(error).removeprefix(f"{path} "))


def hash_file(path: Path) -> str:
    """Return the BLAKE2b checksum of a file."""
    with path.open("rb") as file:
        return blake2b(file)


def blake2b(file: BufferedReader) -> str:
    """Return the BLAKE2b checksum of what an open file still holds."""
    return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
