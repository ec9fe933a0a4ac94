"""Show what a run's network goes by: maps over images, and whether they can be believed."""

import copy
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from convsmith.api.evaluate import read_parts
from convsmith.api.explain_maps import (
    Chosen,
    Explainer,
    Mapped,
    Method,
    figures_of,
    map_images,
    shuffled_words,
    words_of,
)
from convsmith.api.explain_pictures import file_names, plain, write_gallery, write_pictures
from convsmith.api.load import Model, load
from convsmith.api.predict import files_of
from convsmith.api.run import Run, open_run, require_own_model
from convsmith.data.images import Images, Source
from convsmith.data.listing import Problem
from convsmith.errors import DataError, UserError, did_you_mean
from convsmith.insight.faithfulness import Faithfulness
from convsmith.randomness import generator
from convsmith.reporting.report import write_report
from convsmith.reporting.sections import StoredMistakes
from convsmith.training.device import resolve_device

__all__ = ["Explanation", "Explanations", "Method", "explain"]

PathLike = str | os.PathLike[str]


@dataclass(frozen=True)
class Explanation:
    """What the network went by in one image.

    ``picture`` is a file in the run's folder. ``label`` is the image's class where it is known,
    ``target`` the class that the map is for. ``faithfulness`` is None if it was not checked.
    """

    image: str
    picture: Path
    label: str | None
    guess: str
    probability: float
    target: str
    target_probability: float
    faithfulness: Faithfulness | None
    words: str
    figures: str


@dataclass(frozen=True)
class Explanations:
    """Several images, explained by one method.

    ``shuffled`` is how like the first maps (up to 8, none that is flat) stay, as a rank
    correlation, while the network's layers are shuffled from the head down to the one named.
    ``page`` is the run's page if they went into it.
    """

    run: Path
    method: str
    layer: str | None
    explanations: tuple[Explanation, ...]
    shuffled: Mapping[str, float]
    words: str
    problems: tuple[Problem, ...]
    page: Path | None


def explain(
    run: PathLike,
    images: PathLike | Sequence[PathLike] | None = None,
    *,
    mistakes: bool = False,
    class_name: str | None = None,
    count: int = 8,
    method: Method = "grad-cam",
    layer: str | None = None,
    target: str | None = None,
    check: bool = True,
    model: nn.Module | None = None,
    data: Source | None = None,
    runs: PathLike | None = None,
    data_root: PathLike | None = None,
) -> Explanations:
    """Write pictures of what a run's network goes by into the run's folder.

    Say one of ``images``, ``mistakes`` and ``class_name``. The latter two are of the test part, and
    go into the run's page.

    Args:
        run: its folder, or its name in the runs folder.
        images: a file or folder, or several.
        mistakes: the surest mistakes.
        class_name: images of this class.
        count: how many mistakes, or images of the class, at most.
        method: how to explain.
        layer: where Grad-CAM looks; None is the end of the last convolutional stage.
        target: the class to explain; None is the likeliest one of each image.
        check: measure whether the maps can be believed, which takes most of the time.
        model: the network, for a run that trained a module of your own.
        data: the data, for a run that trained on data of your own.
        runs: the folder of runs.
        data_root: where data sets lie.

    Raises:
        RunError: there is no such finished run.
        UserError: there is no such class, layer or method, or it does not suit the network.
        DataError: none of the images can be read.
    """
    if [images is not None, mistakes, class_name is not None].count(True) != 1:
        raise UserError("say what to explain, and one only: images, --mistakes or --class")
    if count < 1:
        raise UserError(f"count must be at least 1, got {count}")
    opened = open_run(run, runs)
    require_own_model(opened, model)
    loaded = load(run, runs=runs, module=copy.deepcopy(model))  # it is moved and put to evaluation
    if loaded.card.image_size == (1, 1):
        raise UserError(f"{opened.path} was trained on points, which have no picture to explain")
    for name in (each for each in (class_name, target) if each is not None):
        require_class(loaded, name)
    loaded.module.to(resolve_device("auto"))
    explainer = Explainer(loaded, method, layer)
    problems: list[Problem] = []
    if images is not None:
        chosen = read_images(loaded, images, problems)
    else:
        part = read_parts(opened, opened.recipe, "test", data, data_root).test
        if class_name is None:
            chosen = mistakes_of(opened, loaded, part, count)
        else:
            chosen = images_of(loaded, part, class_name, count)
    found, shuffled = map_images(loaded, chosen, explainer, target, check=check)
    words = shuffled_words(shuffled)
    pictures, page = write(opened, found, explainer, class_name, words, shown=images is None)
    return Explanations(
        run=opened.path,
        method=method,
        layer=explainer.layer,
        explanations=tuple(map(explanation, found, pictures)),
        shuffled=shuffled,
        words=words,
        problems=tuple(problems),
        page=page,
    )


def require_class(model: Model, name: str) -> None:
    """Raise UserError, naming the nearest, if the network knows no such class."""
    if name not in model.classes:
        known = ", ".join(model.classes[:20]) + (", …" if len(model.classes) > 20 else "")
        hint = did_you_mean(name, model.classes)
        raise UserError(f"the network knows no class {name!r}{hint}: {known}")


def read_images(
    model: Model, images: PathLike | Sequence[PathLike], problems: list[Problem]
) -> list[Chosen]:
    """Return image files as the network sees them; note those that cannot be read."""
    chosen = []
    for path in files_of([images] if isinstance(images, str | os.PathLike) else images, problems):
        try:
            chosen.append(Chosen(path, model.read(path)))
        except DataError as error:
            problems.append(Problem(path, str(error).removeprefix(f"{path} ")))
    if not chosen:
        raise DataError("\n".join(f"{each.path} {each.reason}" for each in problems))
    return chosen


def mistakes_of(run: Run, model: Model, part: Images, count: int) -> list[Chosen]:
    """Return the surest mistakes of the test part."""
    stored = run.folder.read_as(run.folder.mistakes, StoredMistakes).mistakes[:count]
    places = [each.index for each in stored if each.index is not None]
    if any(not 0 <= place < len(part) for place in places):
        raise run.folder.damaged(run.folder.mistakes, "is of other images")
    return take(model, part, places)


def images_of(model: Model, part: Images, class_name: str, count: int) -> list[Chosen]:
    """Return some images of a class, always the same ones."""
    places = (part.labels == model.classes.index(class_name)).nonzero().flatten()
    if not len(places):
        raise UserError(f"the test part has no image of {class_name}")
    order = torch.randperm(len(places), generator=generator(0, "explain"))
    return take(model, part, places[order[:count]].tolist())


def take(model: Model, part: Images, places: list[int]) -> list[Chosen]:
    """Return images of the test part with their names and classes."""
    pixels, labels = part.take(torch.tensor(places, dtype=torch.int64))
    names = [part.file(place) or f"test image {place}" for place in places]
    parts = zip(names, pixels, labels.tolist(), strict=True)
    return [Chosen(name, each, model.classes[label]) for name, each, label in parts]


def write(
    run: Run,
    found: Sequence[Mapped],
    explainer: Explainer,
    class_name: str | None,
    words: str,
    *,
    shown: bool,
) -> tuple[list[Path], Path | None]:
    """Write the pictures, and the run's page if they are shown there; return where they are."""
    how = str(explainer)
    if not shown:
        return write_pictures(run.folder, found, file_names(found, explainer.method), how), None
    kind = "mistakes" if class_name is None else f"class-{plain(class_name)}"
    title = "The surest mistakes" if class_name is None else f"Images of {class_name}"
    name = f"{kind}-{explainer.method}"
    for old in run.folder.explanations.glob(f"{name}-[0-9]*.png"):
        old.unlink()
    names = [f"{name}-{number:02d}" for number in range(1, len(found) + 1)]
    pictures = write_pictures(run.folder, found, names, how)
    write_gallery(run.folder, name, found, (title, how, words))
    return pictures, write_report(run.folder)


def explanation(found: Mapped, picture: Path) -> Explanation:
    """Return what is told of one image."""
    return Explanation(
        image=found.chosen.name,
        picture=picture,
        label=found.chosen.label,
        guess=found.guess,
        probability=found.probability,
        target=found.target,
        target_probability=found.target_probability,
        faithfulness=found.faithfulness,
        words=words_of(found.faithfulness),
        figures=figures_of(found.faithfulness),
    )
