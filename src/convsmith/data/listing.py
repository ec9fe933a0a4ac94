"""Finding the image files of a data set: in folders by class, or listed in a CSV file.

A folder holds ``train/<class>/…``, and if there are any ``val/<class>/…`` and ``test/<class>/…``;
or only ``<class>/…``. A CSV file has the columns ``path`` and ``label`` and may have ``split``
(train, val or test) and ``group`` (images that must not be torn apart by a split).
"""

import csv
import os
import stat
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from convsmith.errors import DataError, did_you_mean

__all__ = ["Entry", "Listing", "Problem", "list_csv", "list_folder"]

PARTS = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
    "testing": "test",
}
ORDER = ("", "train", "validation", "test")
FEW = 20  # problems listed where there are too few classes
NO_IMAGE = "is no image by its name, which ends in none of .jpg, .png, .webp, …"
COLUMNS = ("path", "label", "split", "group")
EFFECTIVE = os.access in os.supports_effective_ids
PICTURES = (
    "avif bmp dib gif ico j2k jfif jp2 jpe jpeg jpg jpx mpo pbm pcx pgm png pnm ppm sgi tga tif "
    "tiff webp"
)
EXTENSIONS = frozenset(f".{kind}" for kind in PICTURES.split())


@dataclass(frozen=True)
class Entry:
    """One image file; ``time`` is its modification in nanoseconds, ``part`` may be empty."""

    path: str  # below the root, with /
    label: str
    part: str
    size: int
    time: int
    group: str = ""


@dataclass(frozen=True)
class Problem:
    """Something that cannot be used, and why; as text it is one line, whatever the path."""

    path: str
    reason: str

    def __str__(self) -> str:
        shown = (c if c.isprintable() else c.encode("unicode_escape").decode() for c in self.path)
        return f"{''.join(shown)}: {self.reason}"


@dataclass
class Listing:
    """The image files of a data set; ``others`` are files that are no images by their names.

    ``kept`` are those of the problems that leave no image out, should they be passed over.
    """

    root: Path
    entries: list[Entry] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    kept: list[Problem] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    classes: tuple[str, ...] = ()


def list_folder(root: Path) -> Listing:
    """List the images below ``root``, each labelled by its class's folder.

    Hidden files and folders are passed over. Links are followed, but never round in circles.

    Raises:
        DataError: there is no such folder, or no class in it.
    """
    require_folder(root)
    listing = Listing(root)
    found: dict[str, set[str]] = defaultdict(set)
    empty: dict[str, list[str]] = defaultdict(list)
    for part, place in parts_in(listing):
        for folder in classes_in(place, listing):
            before = len(listing.entries)
            visited = {os.path.realpath(root), os.path.realpath(folder)}
            add_files(listing, folder, folder.name, part, visited)
            if len(listing.entries) > before:
                found[folder.name].add(part)
            else:
                empty[folder.name].append(relative(folder, root))
        if part:
            note_loose(listing, place)
    note_loose(listing, root)
    settle(listing, found, empty)
    way = ": one folder a class, or train/, val/ and test/ with these in them"
    require_classes(listing, str(root), way)
    return listing


def require_folder(root: Path) -> None:
    """Raise DataError, naming the nearest, if there is no such folder."""
    if root.is_file():
        raise DataError(f"{root} is a file; folder: takes a folder with one folder a class")
    if not root.is_dir():
        near = did_you_mean(root.name, [p.name for p in root.parent.glob("*/")])
        raise DataError(f"there is no folder {root}{near}; name one that is there: folder:PATH")


def parts_in(listing: Listing) -> list[tuple[str, Path]]:
    """Return the parts and their folders; where there are none, all of the root, of no part."""
    names = {path.name: path for path in folders_in(listing.root, listing)}
    parts = {name: PARTS[name.lower()] for name in names if name.lower() in PARTS}
    if "train" in parts.values():
        for name in names.keys() - parts.keys():
            listing.problems.append(Problem(name, "is neither train, val nor test"))
        return [(part, names[name]) for name, part in sorted(parts.items())]
    if parts:
        raise DataError(
            f"{listing.root} has {' and '.join(sorted(parts))} but no train: put the classes to "
            "train on into train/, or rename it if it is a class"
        )
    return [("", listing.root)]


def classes_in(place: Path, listing: Listing) -> Iterator[Path]:
    """Yield the folders of the classes, each once: links to one of them are noted."""
    root = os.path.realpath(listing.root)
    places: dict[str, str] = {}
    for folder in folders_in(place, listing):
        real = os.path.realpath(folder)
        other = places.setdefault(real, folder.name)
        if not Path(root).is_relative_to(real) and other == folder.name:
            yield folder
            continue
        what = "leads round in a circle" if other == folder.name else f"is {other} again"
        name = relative(folder, listing.root)
        listing.problems.append(Problem(name, f"is a link that {what}"))


def settle(
    listing: Listing, found: dict[str, set[str]], empty: dict[str, list[str]] | None = None
) -> None:
    """Settle the classes, and note those that are empty, only tested or easily confused."""
    for name, places in sorted((empty or {}).items()):
        if name not in found:
            listing.problems += [Problem(place, "is a class with no image") for place in places]
    for name in sorted(found):
        if not found[name] & {"train", ""}:
            parts = " and ".join(sorted(found[name]))
            count = sum(entry.label == name for entry in listing.entries)
            listing.problems.append(
                Problem(name, f"is a class only in {parts}; its {count} images cannot be used")
            )
            listing.entries = [entry for entry in listing.entries if entry.label != name]
            del found[name]
    by_lower: dict[str, list[str]] = defaultdict(list)
    for name in sorted(found):
        by_lower[name.lower()].append(name)
    for alike in by_lower.values():
        if len(alike) > 1:
            reason = "are classes whose names differ only in case"
            listing.kept.append(Problem(" and ".join(alike), reason))
    listing.problems += listing.kept
    listing.classes = tuple(sorted(found))


def require_classes(listing: Listing, what: str, way: str = "") -> None:
    """Raise DataError, with what was found instead, if there are fewer than two classes."""
    count = len(listing.classes)
    if count >= 2:
        return
    unread = [name for name in listing.others if Path(name).suffix.lower() not in EXTENSIONS]
    loose = len(listing.others) - len(unread)
    hint = f" ({loose} images lie in no class's folder)" if loose else ""
    if unread:
        noun = "file is" if len(unread) == 1 else "files are"
        names = ", ".join(unread[:5]) + (", …" if len(unread) > 5 else "")
        hint += f"\n  {len(unread):,} {noun} no image by name: {names}"
    hint += "".join(f"\n  {problem}" for problem in listing.problems[:FEW])
    if len(listing.problems) > FEW:
        hint += f"\n  and {len(listing.problems) - FEW:,} more"
    noun = "class" if count == 1 else "classes"
    raise DataError(f"{what} has {count} {noun} with images, two are needed{way}{hint}")


def folders_in(place: Path, listing: Listing) -> list[Path]:
    """Return the folders in a folder, sorted by name."""
    try:
        with os.scandir(place) as items:
            names = sorted(item.name for item in items if not item.name.startswith("."))
    except OSError as error:
        listing.problems.append(Problem(relative(place, listing.root), lower(error)))
        return []
    return [place / name for name in names if (place / name).is_dir()]


def add_files(listing: Listing, folder: Path, label: str, part: str, visited: set[str]) -> None:
    """Add the image files below one class's folder, those of folders in it too."""
    for path, status in files_in(listing, folder):
        name = relative(path, listing.root)
        if status is None:
            real = os.path.realpath(path)
            if real in visited:
                listing.problems.append(Problem(name, "is a link that leads round in a circle"))
            else:
                add_files(listing, path, label, part, visited | {real})
        else:
            add_file(listing, name, status, label, part)


def files_in(listing: Listing, folder: Path) -> Iterator[tuple[Path, os.stat_result | None]]:
    """Yield what lies in a folder, sorted: files with their status, folders with None."""
    try:
        with os.scandir(folder) as items:
            found = sorted(item.name for item in items)
    except OSError as error:
        listing.problems.append(Problem(relative(folder, listing.root), lower(error)))
        return
    for name in found:
        path = folder / name
        if name.startswith("."):
            continue
        try:
            status = path.stat()
        except OSError as error:
            reason = "is a link that leads nowhere" if path.is_symlink() else lower(error)
            listing.problems.append(Problem(relative(path, listing.root), reason))
            continue
        yield path, None if stat.S_ISDIR(status.st_mode) else status


def add_file(
    listing: Listing, name: str, status: os.stat_result, label: str, part: str, group: str = ""
) -> bool:
    """Add one file if it can be an image; return whether it was added."""
    if Path(name).suffix.lower() not in EXTENSIONS:
        listing.others.append(name)
        return False
    reason = ""
    if not encodes(name):
        reason = "has a name that is not UTF-8"
    elif not stat.S_ISREG(status.st_mode):
        reason = "is no regular file"
    elif status.st_size == 0:
        reason = "is empty"
    elif not os.access(listing.root / name, os.R_OK, effective_ids=EFFECTIVE):
        reason = "may not be read"
    if reason:
        listing.problems.append(Problem(name, reason))
        return False
    entry = Entry(name, label, part, status.st_size, status.st_mtime_ns, group)
    listing.entries.append(entry)
    return True


def note_loose(listing: Listing, place: Path) -> None:
    """Note the files that lie beside the classes' folders, links that lead nowhere too."""
    loose = Listing(listing.root)
    for path, status in files_in(loose, place):
        if status is not None:
            listing.others.append(relative(path, listing.root))
    listing.others += [problem.path for problem in loose.problems]


def list_csv(path: Path) -> Listing:
    """List the images named in a CSV file; relative paths are beside it.

    Raises:
        DataError: the file cannot be read, lacks a column, or names images of one class only.
    """
    listing, root = Listing(path.parent), path.parent.absolute()
    rows: dict[str, int] = {}
    for number, row in rows_of(path):
        name, label = (row["path"] or "").strip(), (row["label"] or "").strip()
        written = (row.get("split") or "").strip().lower()
        where, place = f"{path.name}:{number}", os.path.normpath(root / name)
        if not name or not label:
            listing.problems.append(Problem(where, "has no path or no label"))
        elif written and written not in PARTS:
            listing.problems.append(Problem(where, f"split {written!r} is no train, val or test"))
        elif rows.setdefault(place, number) != number:
            listing.problems.append(
                Problem(f"{where}: {name}", f"is in line {rows[place]} already")
            )
        else:
            try:
                status = (listing.root / name).stat()
            except (OSError, ValueError) as error:
                listing.problems.append(Problem(f"{where}: {name}", lower(error)))
                continue
            part, group = PARTS.get(written, ""), (row.get("group") or "").strip()
            add_file(listing, name, status, label, part, group)
    listing.problems += [Problem(name, NO_IMAGE) for name in listing.others]  # for each was asked
    listing.others = []
    if any(entry.part for entry in listing.entries):  # unsaid is train where others say theirs
        listing.entries = [replace(e, part=e.part or "train") for e in listing.entries]
    leave_out_torn(listing)
    found: dict[str, set[str]] = defaultdict(set)
    for entry in listing.entries:
        found[entry.label].add(entry.part)
    settle(listing, found)
    require_classes(listing, str(path), ": the column label names an image's class")
    return listing


def leave_out_torn(listing: Listing) -> None:
    """Of a group in several parts keep what is in the last: nothing is trained on and tested."""
    places: dict[str, set[str]] = defaultdict(set)
    for entry in listing.entries:
        if entry.group:
            places[entry.group].add(entry.part)
    kept = {group: max(parts, key=ORDER.index) for group, parts in places.items()}
    torn = [kept.get(entry.group, entry.part) != entry.part for entry in listing.entries]
    counts = Counter(e.group for e, is_torn in zip(listing.entries, torn, strict=True) if is_torn)
    for group, count in sorted(counts.items()):
        parts = " and ".join(sorted(places[group]))
        reason = f"is a group torn apart, into {parts}; {count} of its images cannot be used"
        listing.problems.append(Problem(group, reason))
    listing.entries = [e for e, is_torn in zip(listing.entries, torn, strict=True) if not is_torn]


def rows_of(path: Path) -> Iterator[tuple[int, dict[str, str | None]]]:
    """Yield the rows of a CSV file with their line numbers."""
    done = 0
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            columns = list(reader.fieldnames or ())
            reader.fieldnames = names = [unified(column, columns) for column in columns]
            twice = [column for column in COLUMNS if names.count(column) > 1]
            if twice:
                raise DataError(f"{path} has more than one column {twice[0]}; rename the others")
            missing = {"path", "label"} - set(names)
            if missing:
                has = ", ".join(columns) or "none"
                lacks = " and ".join(sorted(missing))
                hint = " (columns are separated by commas)" if len(columns) == 1 else ""
                raise DataError(f"{path} has no column {lacks}; its columns are: {has}{hint}")
            done = reader.line_num
            for row in reader:
                done = reader.line_num
                yield done, row
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not a CSV file in UTF-8: {error}; save it as that") from error
    except csv.Error as error:
        raise DataError(f"{path} is not a CSV file in UTF-8: after line {done}, {error}") from error


def unified(column: str, columns: list[str]) -> str:
    """Return a column's name as it is meant: whatever its case, unless that makes two of one."""
    plain = column.strip().lower()
    alike = [each for each in columns if each.strip().lower() == plain]
    return plain if plain in COLUMNS and len(alike) == 1 else column


def encodes(name: str) -> bool:
    """Return whether a file's name can be written as UTF-8: Linux allows others."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def relative(path: Path, root: Path) -> str:
    """Return a path below the root, with / on every system."""
    return path.relative_to(root).as_posix()


def lower(error: Exception) -> str:
    """Return an error's text as the continuation of a sentence."""
    text = getattr(error, "strerror", None) or str(error)
    return f"{text[:1].lower()}{text[1:]}"
