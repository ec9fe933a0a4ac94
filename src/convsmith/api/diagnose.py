"""Say what is wrong with a training, and what to change."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from torch import nn

from convsmith.api.own import Own
from convsmith.api.progress import ProgressKind, choose_progress
from convsmith.api.run import Run
from convsmith.api.target import run_meant
from convsmith.api.train import Places
from convsmith.api.trial import Given, trial
from convsmith.api.watching import watch_recipe, watch_run
from convsmith.data.images import Source
from convsmith.errors import UserError, WriteError
from convsmith.insight.evidence import Evidence, Finding, Plot
from convsmith.insight.findings import find
from convsmith.reporting.report import write_report
from convsmith.runs.folder import to_json, write_atomically

__all__ = ["Diagnosis", "Finding", "Plot", "diagnose"]

PathLike = str | os.PathLike[str]


@dataclass(frozen=True)
class Diagnosis:
    """What was found, the worst first; ``looked`` says at what, in words.

    ``page`` is the run's page, None for a recipe.
    """

    target: str
    findings: tuple[Finding, ...]
    looked: tuple[str, ...]
    page: Path | None


def diagnose(
    target: str | Path | Mapping[str, object],
    *,
    watch: int = 3,
    images: int = 10_000,
    model: str | nn.Module | None = None,
    data: str | Source | None = None,
    runs: PathLike | None = None,
    data_root: PathLike | None = None,
    progress: ProgressKind = "auto",
    flags: Mapping[str, object] | None = None,
    sets: Sequence[str] = (),
    **keywords: object,
) -> Diagnosis:
    """Find what is wrong with a run, or with the training of a recipe.

    A recipe is trained for some epochs and watched; nothing of that is kept. Of a run, its course,
    its weights, their gradients and its data are looked at; what is found is written into its
    folder and onto its page. The test part is not looked at.

    Args:
        target: a run's folder or name; or a preset, recipe file or mapping.
        watch: epochs that a recipe is trained for; the schedule is that of the whole training.
        images: the most images of a part that go through the trained network.
        model: the name of a network, or a network of your own, which stays as it is.
        data: a data set's name, or data of your own, made by ``convsmith.own_source``.
        runs: the folder of runs.
        data_root: where data sets lie.
        progress: ``auto``, ``bars``, ``lines`` or ``none``, on standard error.
        flags: what the command line's common options say, by option name.
        sets: ``path=value`` strings, as ``--set`` takes them.
        keywords: any recipe value by its short name.

    Raises:
        RecipeError: the recipe has mistakes; all are listed.
        UserError: a run was given recipe options, or there is no such run or recipe.
        ResumeError: the images of a run have changed since.
        WriteError: the run's folder cannot be written.
    """
    if watch < 1 or images < 1:
        raise UserError(f"--watch and --images must be at least 1, got {watch} and {images}")
    places = Places(runs, data_root, progress, choose_progress(progress))
    run = run_meant(target, runs)
    if run is None:
        given = Given(target, model, data, flags, sets, keywords)
        with trial(given, places) as ready:
            evidence = watch_recipe(ready, watch, images, places.shown)
        return Diagnosis(given.name, find(evidence), looked(evidence), None)
    if any(value is not None for value in (flags or {}).values()) or sets or keywords:
        raise UserError(f"{run.path} is a run and keeps its recipe: it takes no recipe options")
    own = Own.among(model, data)
    evidence = watch_run(
        run, images, model=own.model, data=own.data, data_root=data_root, shown=places.shown
    )
    found = Diagnosis(str(run.path), find(evidence), looked(evidence), run.folder.report)
    keep(run, found)
    return found


def looked(evidence: Evidence) -> tuple[str, ...]:
    """Return what was looked at, in words."""
    said = []
    if evidence.losses:
        losses = counted(len(evidence.losses), "loss", "losses")
        said.append(f"{losses} up to step {evidence.losses[-1][0]:,}")
    if evidence.epochs:
        said.append(counted(len(evidence.epochs), "epoch"))
    updated = [each for each in evidence.readings if each.learning_rate]
    if updated:
        said.append(f"the layers in {counted(len(updated), 'step')}")
    elif evidence.readings:
        said.append(f"the gradients of {counted(len(evidence.readings), 'batch', 'batches')}")
    for part, survey in (("training", evidence.trained), ("validation", evidence.held_out)):
        if survey is not None:
            said.append(counted(survey.images, f"{part} image"))
    if evidence.leak is not None:
        said.append("copies between the parts")
    return tuple(said)


def counted(count: int, one: str, more: str | None = None) -> str:
    """Return ``1 epoch``, ``1,295 training images``."""
    return f"{count:,} {one if count == 1 else more or one + 's'}"


def keep(run: Run, found: Diagnosis) -> None:
    """Write what was found into the run's folder, and its page anew."""
    value = {
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "looked": found.looked,
        "findings": [asdict(each) for each in found.findings],
    }
    try:
        write_atomically(run.folder.findings, to_json(value))
    except OSError as error:
        reason = error.strerror or error
        raise WriteError(f"cannot write {run.folder.findings}: {reason}") from error
    write_report(run.folder)
