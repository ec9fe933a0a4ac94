"""Measure a finished run's weights again, on any part of its data."""

import copy
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Literal, get_args

import torch
from torch import nn

from convsmith.api.elsewhere import for_this_machine
from convsmith.api.label_errors import LabelReport, check_labels
from convsmith.api.load import put_weights, read_card
from convsmith.api.measuring import Measuring
from convsmith.api.progress import ticking
from convsmith.api.robustness import Robustness, measure_robustness, require_images
from convsmith.api.run import Run, open_run, require_own_model
from convsmith.data import find_root
from convsmith.data.images import Source
from convsmith.errors import ResumeError, UserError
from convsmith.models.mirrored import Mirrored
from convsmith.recipe.build import (
    LAYOUTS,
    Parts,
    build_loss,
    build_model,
    eval_batches,
    mirrored,
    read_source,
    set_up,
)
from convsmith.recipe.build import split as split_source
from convsmith.recipe.schema import Recipe
from convsmith.reporting.report import write_report
from convsmith.runs.model_card import ModelCard
from convsmith.runs.results import Score
from convsmith.training.device import resolve_device
from convsmith.training.precision import make_precision

__all__ = ["Evaluated", "Part", "evaluate"]

Part = Literal["train", "validation", "test"]


@dataclass(frozen=True)
class Evaluated:
    """How a run's weights do on one part of its data; ``per_class`` maps class to accuracy.

    ``mirrored`` says whether every image was also seen in the mirror. ``robustness`` and
    ``label_errors`` are there if they were asked for; ``note`` says if it was not measured as it
    was trained.
    """

    run: str
    split: str
    score: Score
    per_class: dict[str, float]
    mirrored: bool = False
    robustness: Robustness | None = None
    label_errors: LabelReport | None = None
    note: str = ""


def evaluate(
    run: str | os.PathLike[str],
    split: Part = "test",
    *,
    model: nn.Module | None = None,
    data: Source | None = None,
    runs: str | os.PathLike[str] | None = None,
    data_root: str | os.PathLike[str] | None = None,
    mirror: bool = False,
    robustness: bool = False,
    label_errors: bool = False,
    folds: int | None = None,
) -> Evaluated:
    """Evaluate a finished run as its training did: same precision, layout, batch and threads.

    A run that was trained on a GPU that is not here is evaluated on what is, in fp32.

    ``robustness`` and ``label_errors`` add what they find to the run's folder and page.

    Args:
        run: its folder, or its name in the runs folder.
        split: ``train`` (without augmentation), ``validation`` or ``test``.
        model: the network, for a run that trained a module of your own.
        data: the data, for a run that trained on data of your own.
        runs: the folder of runs.
        data_root: where data sets lie.
        mirror: average the logits over each image and its mirror image; the run's own results stay.
        robustness: also measure the part made worse: noise, blur, brightness, JPEG.
        label_errors: also look for wrong labels in the training and validation parts.
        folds: train so many networks anew for ``label_errors``, each to judge training labels that
            it has not seen.

    Raises:
        RunError: there is no such finished run.
        ResumeError: the images have changed since.
        UserError: the run kept no validation part, there is no such part, these are no images, or
            their mirror images are not of the same class.
    """
    require_sense(split, mirror, robustness, label_errors, folds)
    opened = open_run(run, runs)
    stored = opened.environment
    recipe, note = for_this_machine(opened.recipe)
    require_own_model(opened, model)
    card = read_card(opened.folder)
    device = resolve_device(recipe.train.device)
    set_up(device, recipe)
    with threads(stored["exact"]["threads"]):
        source = read_data(recipe, data_root) if data is None else data
        parts = read_parts(opened, recipe, split, source, data_root)
        batches = eval_batches(recipe, parts, split, device)
        if batches is None:
            raise UserError(f"{opened.path} kept no validation part: it trained on everything")
        if robustness:
            require_images(parts.test)
        if mirror:
            require_mirrored(recipe, source)
        network = prepare(opened, recipe, card, (source, parts), model, device)
        if mirror:
            network = replace(network, model=Mirrored(network.model))
        result = network.measure(batches, logits=robustness)
        with ticking("auto") as say:
            worse = measure_robustness(network, split, result, say) if robustness else None
            wrong = check_labels(network, folds, say) if label_errors else None
    if robustness or label_errors:
        write_report(opened.folder)
    return Evaluated(
        run=str(opened.path),
        split=split,
        score=Score(result.top1, result.top5, result.loss, result.count),
        per_class=dict(zip(parts.classes, result.per_class, strict=True)),
        mirrored=mirror,
        robustness=worse,
        label_errors=wrong,
        note=note,
    )


def require_sense(
    split: str, mirror: bool, robustness: bool, label_errors: bool, folds: int | None
) -> None:
    """Raise UserError if these are not to be asked for together."""
    if split not in get_args(Part):
        raise UserError(f"split must be train, validation or test, not {split!r}")
    if folds is not None and folds < 2:
        raise UserError(f"folds must be at least 2, got {folds}")
    if folds is not None and not label_errors:
        raise UserError("folds are for label errors: say --label-errors too")
    if mirror and (robustness or label_errors):
        other = "--robustness" if robustness else "--label-errors"
        raise UserError(f"{other} looks at the network as it is: leave out --mirror")


def require_mirrored(recipe: Recipe, source: Source) -> None:
    """Raise UserError if an image and its mirror image are not of one class."""
    if mirrored(recipe, source):
        return
    why = "" if recipe.data.mirrored is None else " (the recipe says data.mirrored: false)"
    raise UserError(f"an image of {source.name} and its mirror image are not of one class{why}")


def prepare(
    opened: Run,
    recipe: Recipe,
    card: ModelCard,
    data: tuple[Source, Parts],
    model: nn.Module | None,
    device: torch.device,
) -> Measuring:
    """Return a run's network with its final weights, and what its training measured with."""
    source, parts = data
    if model is None:
        size = parts.train.image_size
        model = build_model(recipe, len(parts.classes), parts.train.channels, size)
    else:  # the person's own stays as it is
        model = copy.deepcopy(model)
    layout = LAYOUTS[recipe.train.memory_format]
    model.to(device=device, memory_format=layout)  # type: ignore[call-overload]
    put_weights(opened.folder, model)
    return Measuring(
        folder=opened.folder,
        recipe=recipe,
        card=card,
        source=source,
        parts=parts,
        model=model,
        loss=build_loss(recipe, parts).to(device),
        precision=make_precision(recipe.train.precision, device),
        device=device,
    )


def read_parts(
    opened: Run,
    recipe: Recipe,
    split: Part,
    source: Source | None,
    data_root: str | os.PathLike[str] | None,
) -> Parts:
    """Return the parts of a run's data, of which ``split`` will be measured.

    Raises:
        ResumeError: they are not what they were.
    """
    if source is None:
        source = read_data(recipe, data_root)
    parts = split_source(recipe, source)
    if parts.digest() != opened.environment["exact"]["data"]:
        raise ResumeError(
            f"{opened.path}: the training images are not those that it was trained on, so its "
            "parts cannot be told apart any more; bring them back, or train anew"
        )
    if split == "test" and parts.test.checksum() != opened.environment.get("test_images"):
        raise ResumeError(
            f"{opened.path}: the test images are not those that it was measured on; bring them back"
        )
    return parts


def read_data(recipe: Recipe, data_root: str | os.PathLike[str] | None) -> Source:
    """Read a recipe's data set, and show how far it is."""
    with ticking("auto") as say:
        return read_source(recipe, find_root(data_root), say)


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Let PyTorch use so many threads for a while."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
