"""A source made of image files: listed, decoded into a store, sorted into parts."""

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch
from PIL import ExifTags, Image
from torch import Tensor

from convsmith.cache import cache_folder
from convsmith.data.decode import GREY, Resize, quiet
from convsmith.data.images import Images, Say, Source
from convsmith.data.listing import Listing, Problem
from convsmith.data.store import Rule, Store, open_store
from convsmith.errors import DataError

__all__ = ["Reading", "files_source", "number_groups", "stores_folder"]

SHOWN = 40  # problems listed in a message
USUAL_SIZE = 128  # pixels, for files of many sizes


@dataclass(frozen=True)
class Reading:
    """How image files are read; None is decided by looking at some of them."""

    image_size: tuple[int, int] | None = None
    channels: int | None = None
    resize: Resize = "stretch"
    on_bad_image: Literal["error", "skip"] = "error"


def stores_folder() -> Path:
    """Return where stores lie."""
    return cache_folder() / "stores"


def files_source(
    name: str, listing: Listing, reading: Reading, say: Say, *, mirrored: bool
) -> Source:
    """Return the listed images as a source.

    Raises:
        DataError: files cannot be used and ``reading`` does not say to skip them; all are listed.
    """
    sizes, grey = look(listing)
    size = reading.image_size or usual_size(sizes)
    rule = Rule(reading.channels or (1 if grey else 3), size, reading.resize)
    short = listing.root.absolute().name or "images"
    store = open_store(listing, rule, stores_folder(), short, say)
    problems = [*listing.problems, *store.problems, *unlearnt(listing, store)]
    left_out = describe(name, listing, problems, reading)
    notes = [left_out] if left_out else []
    if reading.image_size is None and set(sizes) != {size}:
        kinds = "many sizes" if len(sizes) > 1 else "{}x{}".format(*next(iter(sizes), (0, 0)))
        notes.append(
            f"the images are of {kinds}; they are resized to {size[0]}x{size[1]} "
            f"({reading.resize}; data.image_size and data.resize change that)"
        )
    source = assemble(name, listing, store, tuple(notes), mirrored=mirrored)
    return replace(source, problems=tuple(problems), others=tuple(listing.others))


def look(listing: Listing) -> tuple[Counter[tuple[int, int]], bool]:
    """Return the sizes (height, width) of up to 200 of the images, and whether all are grey."""
    sizes: Counter[tuple[int, int]] = Counter()
    grey = True
    step = max(1, len(listing.entries) // 200)
    with quiet():
        for entry in listing.entries[::step]:
            try:
                with Image.open(listing.root / entry.path) as image:
                    width, height = image.size[::-1] if on_its_side(image) else image.size
                    sizes[height, width] += 1
                    grey = grey and image.mode in GREY
            except Exception:  # noqa: BLE001  # broken files raise anything; said later
                continue
    return sizes, grey and bool(sizes)


def on_its_side(image: Image.Image) -> bool:
    """Return whether turning the image upright exchanges width and height."""
    with suppress(Exception):  # broken EXIF raises anything, and is passed over in decoding too
        return bool(image.getexif().get(ExifTags.Base.Orientation, 1) >= 5)
    return False


def usual_size(sizes: Counter[tuple[int, int]]) -> tuple[int, int]:
    """Return the size that all images have if it is one and small, else the usual one."""
    if len(sizes) == 1:
        only = next(iter(sizes))
        if max(only) <= 2 * USUAL_SIZE:
            return only
    return USUAL_SIZE, USUAL_SIZE


def unlearnt(listing: Listing, store: Store) -> list[Problem]:
    """Return the classes of which no image to train on can be read, though others can."""
    usable = Counter(each.entry.label for each in store.images)
    present = {each.entry.label for each in store.images if each.entry.part in ("", "train")}
    return [
        Problem(name, f"has no image to train on; its {usable[name]} others cannot be used")
        for name in listing.classes
        if name not in present and usable[name]
    ]


def describe(name: str, listing: Listing, problems: list[Problem], reading: Reading) -> str:
    """Return what is left out, in words; empty if nothing is.

    Raises:
        DataError: something is left out that must not be.
    """
    lines = [f"  {problem}" for problem in problems[:SHOWN]]
    if len(problems) > SHOWN:
        lines.append(f"  and {len(problems) - SHOWN:,} more, which `convsmith data verify` lists")
    left = len(problems) - len(listing.kept)
    count = f"{left:,} {'file' if left == 1 else 'files or folders'}"
    if problems and reading.on_bad_image == "error":
        what = f"{count} cannot be used; mend or remove them, or leave them out with"
        if not left:
            noun, it = ("problem", "it") if len(problems) == 1 else ("problems", "them")
            what = f"{len(problems):,} {noun}; mend {it}, or train all the same with"
        raise DataError("\n".join([f"{name}: {what} --set data.on_bad_image=skip:", *lines]))
    others = listing.others
    if others:
        more = ", … (a run's environment.json lists them)"
        kinds = ", ".join(others[:5]) + (more if len(others) > 5 else "")
        noun = "file is" if len(others) == 1 else "files are"
        lines.append(f"  {len(others):,} other {noun} no image or lies in no class: {kinds}")
    if not lines:
        return ""
    return "\n".join([f"{name}: {count} left out:" if left else f"{name}:", *lines])


def assemble(
    name: str, listing: Listing, store: Store, notes: tuple[str, ...], *, mirrored: bool
) -> Source:
    """Sort the store's images into the parts that the listing gives them."""
    present = {each.entry.label for each in store.images if each.entry.part in ("", "train")}
    classes = tuple(name for name in listing.classes if name in present)
    if len(classes) < 2:
        raise DataError(f"{name}: fewer than two classes have an image that can be read")
    number = {label: index for index, label in enumerate(classes)}
    files = tuple(each.entry.path for each in store.images)

    def part(*parts: str) -> Images | None:
        rows = [
            row
            for row, each in enumerate(store.images)
            if each.entry.part in parts and each.entry.label in number
        ]
        if not rows:
            return None
        labels = torch.tensor([number[store.images[row].entry.label] for row in rows])
        return Images(store.pixels, labels, torch.tensor(rows), store.digest, files)

    train = part("", "train")
    assert train is not None
    assert train.rows is not None
    groups = number_groups([store.images[row].entry.group for row in train.rows.tolist()])
    return Source(
        name,
        classes,
        train,
        part("test"),
        mirrored=mirrored,
        validation=part("validation"),
        groups=groups,
        notes=notes,
        store=store.folder,
    )


def number_groups(names: Sequence[str]) -> Tensor | None:
    """Return ``(N,)`` numbers of groups, None where no image has one; one without is its own."""
    if not any(names):
        return None
    known: dict[str, int] = {}
    ids = [known.setdefault(each or f"\0{row}", len(known)) for row, each in enumerate(names)]
    return torch.tensor(ids)
