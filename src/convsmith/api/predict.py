"""Say what is in some images, with a run's network."""

import csv
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import torch
from torch import Tensor

from convsmith.api.load import Model, Prediction, load
from convsmith.data.listing import Listing, Problem, add_files
from convsmith.errors import DataError

__all__ = ["Predictions", "files_of", "predict", "write_csv"]

BATCH = 64


@dataclass(frozen=True)
class Predictions:
    """What was said of each image that could be read, and why the others could not."""

    predictions: tuple[Prediction, ...]
    problems: tuple[Problem, ...]


def predict(
    run: str | os.PathLike[str],
    images: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    *,
    top: int = 5,
    runs: str | os.PathLike[str] | None = None,
) -> Predictions:
    """Return the ``top`` likeliest classes of each image, in the order given.

    Args:
        run: its folder, or its name in the runs folder.
        images: a file or folder, or several; of folders every image in them or below is taken.
        top: how many classes.
        runs: the folder of runs.

    Raises:
        RunError: there is no such finished run.
        DataError: none of the images can be read; all are listed.
    """
    model = load(run, runs=runs)
    chosen = [images] if isinstance(images, str | os.PathLike) else images
    predictions: list[Prediction] = []
    problems: list[Problem] = []
    names: list[str] = []
    waiting: list[Tensor] = []
    for path in files_of(chosen, problems):
        try:
            waiting.append(model.read(path))
            names.append(path)
        except DataError as error:
            problems.append(Problem(path, str(error).removeprefix(f"{path} ")))
        if len(waiting) == BATCH:
            predictions += guesses(model, names, waiting, top)
            names, waiting = [], []
    if waiting:
        predictions += guesses(model, names, waiting, top)
    if not predictions:
        reasons = "\n".join(f"{each.path} {each.reason}" for each in problems)
        raise DataError(reasons or "no image was given")
    return Predictions(tuple(predictions), tuple(problems))


def files_of(images: Sequence[str | os.PathLike[str]], problems: list[Problem]) -> Iterator[str]:
    """Yield the files, and those in the folders, sorted; note folders without any.

    Folders are gone through as for training: links are followed, what is hidden is passed over.
    """
    for given in images:
        if not os.fspath(given):
            problems.append(Problem("''", "is no name of a file"))
            continue
        path = Path(given)
        if not path.is_dir():
            yield os.fspath(given)
            continue
        listing = Listing(path)
        add_files(listing, path, "", "", {os.path.realpath(path)})
        if not listing.entries and not listing.problems:
            problems.append(Problem(os.fspath(given), "is a folder with no image in it"))
        problems += [Problem(str(path / each.path), each.reason) for each in listing.problems]
        yield from (str(path / entry.path) for entry in listing.entries)


def guesses(model: Model, names: list[str], images: list[Tensor], top: int) -> list[Prediction]:
    """Return what the network says of some images."""
    probabilities = model.probabilities(torch.stack(images))
    return [
        model.prediction(name, each, top) for name, each in zip(names, probabilities, strict=True)
    ]


def write_csv(found: Predictions, file: IO[str]) -> None:
    """Write one row an image: path, label, probability, and the reason if there is none."""
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["path", "label", "probability", "problem"])
    for prediction in found.predictions:
        best = prediction.guesses[0]
        writer.writerow([prediction.image, best.label, f"{best.probability:.6f}", ""])
    for problem in found.problems:
        writer.writerow([problem.path, "", "", problem.reason])
