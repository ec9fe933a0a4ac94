"""Look at a data set: a picture of it and of its augmentations, and whether its files are whole."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from convsmith.api.transfer import with_preprocessing
from convsmith.data import FILES, SOURCES, Reading, find_root, is_source, load_source
from convsmith.data.augment import LEVELS
from convsmith.data.cifar import verify_official
from convsmith.data.files import stores_folder
from convsmith.data.images import Say, Source
from convsmith.data.listing import Problem
from convsmith.data.pictures import augmented, grid, samples
from convsmith.data.store import stores_of, unreadable, verify_store
from convsmith.errors import RecipeError, UserError, did_you_mean
from convsmith.recipe.build import augmentation, read_source
from convsmith.recipe.load import load_recipe
from convsmith.recipe.schema import Recipe

__all__ = ["Picture", "Verified", "show_data", "verify_data"]

PathLike = str | os.PathLike[str]
COLUMNS = 8


@dataclass(frozen=True)
class Picture:
    """A picture that was written, and what is in the data set."""

    path: Path
    images: int
    classes: int
    image_size: tuple[int, int]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Verified:
    """How many images were read again, and everything that is not as it was."""

    images: int
    problems: tuple[Problem, ...]


def show_data(
    name: str,
    out: PathLike | None = None,
    *,
    data: str | None = None,
    sets: Sequence[str] = (),
    data_root: PathLike | None = None,
    seed: int = 0,
    say: Say = lambda text: None,
) -> Picture:
    """Write a picture of samples and of what augmentation makes of them.

    Args:
        name: a data set (then every level is shown), or a preset or recipe file (then what it does
            to its training images, several times).
        out: where the picture goes; by default ``NAME.png`` in the working folder.
        data: a recipe's data, where it is not its own.
        sets: ``path=value`` strings that change the recipe.
        data_root: where data sets lie.
        seed: which samples are shown.
        say: told how far a long reading is.

    Raises:
        UserError: there is no such data set or recipe, or it holds points.
    """
    given = {} if data is None else {"data": data}
    source, recipe = find_source(name, given, sets, find_root(data_root), say)
    if recipe is None:
        chosen = [(level, make(source)) for level, make in LEVELS.items() if level != "none"]
        seeds = [seed] * len(chosen)
    else:
        chosen = [(f"training {n}", augmentation(recipe, source)) for n in (1, 2, 3)]
        seeds = [seed, seed + 1, seed + 2]
    if source.train.image_size == (1, 1):
        raise UserError(f"{source.name} holds points or single pixels: there is no picture of them")
    indices = samples(source.train, len(source.classes), COLUMNS, seed)
    pixels, labels = source.train.take(indices)
    rows = [("original", pixels)]
    for (title, augment), draw in zip(chosen, seeds, strict=True):
        rows.append((title, augmented(pixels, augment, draw)))
    path = Path(out) if out is not None else Path(f"{plain(name)}.png")
    titles = [source.classes[label] for label in labels.tolist()]
    try:
        grid(rows, titles).save(path)
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be written: {error}") from error
    return Picture(path, count(source), len(source.classes), source.train.image_size, source.notes)


def find_source(
    name: str, given: Mapping[str, str], sets: Sequence[str], root: Path, say: Say
) -> tuple[Source, Recipe | None]:
    """Return the data set called ``name``, or that of the recipe called so, and the recipe."""
    if is_source(name):
        if given or sets:
            raise UserError(f"{name} is a data set; --data and --set change a preset or recipe")
        reading = Reading(on_bad_image="skip")
        return load_source(name, root, reading, say, online=True), None
    recipe, _ = with_preprocessing(find_recipe(name, given, sets), None)
    return read_source(recipe, root, say), recipe


def find_recipe(name: str, given: Mapping[str, str], sets: Sequence[str]) -> Recipe:
    """Return the recipe called ``name``, which may have been meant for a data set."""
    try:
        return load_recipe(name, flags=given, sets=sets).recipe
    except RecipeError as error:
        if len(error.mistakes) > 1 or error.mistakes[0].path != name:
            raise
        known = ", ".join([*SOURCES, "folder:PATH", "csv:PATH"])
        hint = did_you_mean(name, SOURCES)
        raise UserError(
            f"{name!r} is no data set{hint} and no preset or recipe file; data sets are: {known}"
        ) from error


def plain(name: str) -> str:
    """Return a data set's or recipe's name as that of a file."""
    return Path(name.partition(":")[2] or name).absolute().stem


def count(source: Source) -> int:
    """Return the number of images in all parts."""
    parts = (source.train, source.validation, source.test)
    return sum(len(part) for part in parts if part is not None)


def verify_data(
    name: str, *, data_root: PathLike | None = None, say: Say = lambda text: None
) -> Verified:
    """Read every file of a data set again, and compare it with what was decoded from it.

    What is compared is, for every size and rule in use, the store of the files as they are now; or,
    if files have come, gone or changed, the last one, and then every file is decoded too. CIFAR's
    official files are compared with the published checksums, others are checked by being read.

    Args:
        name: a data set, or a preset or recipe file.
        data_root: where data sets lie.
        say: told how far a long reading is.

    Raises:
        UserError: there is no such data set or recipe.
        DataError: official files are missing or broken.
    """
    root = find_root(data_root)
    named = name if is_source(name) else find_recipe(name, {}, ()).data.source
    kind, _, path = named.partition(":")
    if kind in FILES:  # before anything is decoded anew and stored
        listing = FILES[kind](Path(path).expanduser())
        present, older = stores_of(listing, stores_folder())
        if present:
            return verified(present, listing.problems)
        if older:
            return verified(older, [*listing.problems, *unreadable(listing, say)])
    source = load_source(named, root, Reading(on_bad_image="skip"), say, online=True)
    if source.store is not None:
        return verified([source.store], list(source.problems))
    return Verified(count(source), tuple(verify_official(named, root)))


def verified(stores: list[Path], problems: list[Problem]) -> Verified:
    """Return what is wrong with stores and the files they came from, besides what is known."""
    found = [verify_store(folder) for folder in stores]
    every = [*problems, *(problem for _, more in found for problem in more)]
    return Verified(max(images for images, _ in found), tuple(dict.fromkeys(every)))
