"""Train a network from a recipe, or go on with a run that was stopped."""

import copy
import os
import shlex
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy
import torch
from torch import nn

from convsmith.api.budget import free_memory, make_fit, require_budget, within_budget
from convsmith.api.drive import Session, drive, first_checkpoint, restore_newest, write_page
from convsmith.api.elsewhere import for_this_machine
from convsmith.api.figures import write_samples
from convsmith.api.finish import finish
from convsmith.api.load import read_weights
from convsmith.api.own import Own
from convsmith.api.progress import Progress, ProgressKind, choose_progress, ticking
from convsmith.api.provenance import card, command_line, described, headline, lasting_path
from convsmith.api.run import Run, open_run, require_own_model
from convsmith.api.transfer import load_transfer, with_preprocessing
from convsmith.data import find_root
from convsmith.data.images import Source
from convsmith.errors import (
    CheckpointError,
    DamagedError,
    Interrupted,
    ResumeError,
    Terminated,
    UserError,
    WriteError,
)
from convsmith.recipe.build import (
    Parts,
    augmentation,
    build_job,
    build_loss,
    build_model,
    build_state,
    read_source,
    set_up,
    split,
)
from convsmith.recipe.load import load_recipe
from convsmith.recipe.resolve import resolve
from convsmith.recipe.schema import Recipe
from convsmith.recipe.trial import require_fit
from convsmith.recipe.write import to_yaml
from convsmith.runs.environment import differences
from convsmith.runs.folder import RunFolder, find_runs_folder
from convsmith.runs.journal import Journal
from convsmith.runs.tensorboard import installed
from convsmith.training.clock import StepClock
from convsmith.training.device import resolve_device
from convsmith.training.job import Job
from convsmith.training.snapshot import load_weights

__all__ = ["Own", "Places", "Ready", "make_ready", "train"]

PathLike = str | os.PathLike[str]


@dataclass(frozen=True)
class Places:
    """Where things are kept and how a training shows itself."""

    runs: PathLike | None
    data_root: PathLike | None
    progress: ProgressKind
    shown: Progress  # of that kind


def train(
    recipe: str | Path | Mapping[str, object] | None = None,
    *,
    resume: PathLike | None = None,
    start_from: PathLike | None = None,
    model: str | nn.Module | None = None,
    data: str | Source | None = None,
    name: str | None = None,
    runs: PathLike | None = None,
    data_root: PathLike | None = None,
    progress: ProgressKind = "auto",
    flags: Mapping[str, object] | None = None,
    sets: Sequence[str] = (),
    inexact: bool = False,
    **keywords: object,
) -> Run:
    """Train, evaluate once on the test part, and return the run.

    Args:
        recipe: a preset's name, a recipe file, or a mapping of the same shape.
        resume: a run to go on with; it keeps its own recipe.
        start_from: a finished run whose weights the new run begins with.
        model: the name of a network, or a network of your own taking ``(N, C, H, W)`` float images
            and returning ``(N, classes)`` logits. Your own is trained in place, all of it in
            training mode.
        data: a data set's name, ``folder:PATH`` or ``csv:PATH``, or your own data, made by
            ``convsmith.own_source``.
        name: the run's name; by default the recipe's with the next free number.
        runs: the folder of runs; by default ``CONVSMITH_RUNS`` or ``runs``.
        data_root: where data sets lie; by default ``CONVSMITH_DATA``.
        progress: ``auto``, ``bars``, ``lines`` or ``none``, on standard error.
        flags: what the command line's common options say, by option name.
        sets: ``path=value`` strings, as ``--set`` takes them.
        inexact: resume even where the result cannot be bit-identical.
        keywords: any recipe value by its short name: ``epochs``, ``batch_size``, ``learning_rate``,
            ``seed``, ``precision``, ``augmentation``, …; an unknown one is an error.

    Raises:
        RecipeError: the recipe has mistakes; all are listed.
        UserError: the data, the device or the run is not what was asked for.
        NonFiniteError: training diverged.
        WriteError: the disk is full; the run can be resumed.
        Interrupted: a signal asked to stop; the run can be resumed.
    """
    places = Places(runs, data_root, progress, choose_progress(progress))
    if name is not None and not isinstance(name, str):
        raise UserError(f"name must be a text, not a {type(name).__name__}")
    own = Own.among(model, data)
    require_kinds(
        recipe, sets, resume=resume, start_from=start_from, runs=runs, data_root=data_root
    )
    keywords = {k: v.item() if isinstance(v, numpy.generic) else v for k, v in keywords.items()}
    for keyword, named in (("model", model), ("source", data)):
        if isinstance(named, str):
            keywords[keyword] = named
    if resume is not None:
        recipe_given = recipe is not None or flags or sets or keywords
        if recipe_given or start_from is not None or name is not None:
            raise UserError(
                "a resumed run keeps its recipe, weights and name: --resume takes no recipe, no "
                "other recipe options and neither --from nor --name "
                "(to train on with other settings, start a new run with --from RUN)"
            )
        return resume_run(resume, own, places, inexact=inexact)
    if recipe is None:
        raise UserError("say what to train: a preset (see `convsmith recipes`) or a recipe file")
    loaded = load_recipe(recipe, flags=flags or {}, sets=sets, keywords=keywords)
    base = Path(recipe).stem if isinstance(recipe, str | Path) else "run"
    with within_budget(loaded.recipe, places.shown.say) as budget:
        return start_run(loaded.recipe, loaded.notes, (base, name), own, places, start_from, budget)


def require_kinds(recipe: object, sets: object, **paths: object) -> None:
    """Raise UserError if an argument is of a kind that cannot be meant."""
    if not isinstance(recipe, str | Path | Mapping | None):
        kind = type(recipe).__name__
        raise UserError(f"recipe must be a name, a file or a mapping, not a {kind}")
    if isinstance(sets, str):
        raise UserError(f'sets must be a list of texts: ["{sets}"]')
    if not isinstance(sets, Sequence) or not all(isinstance(each, str) for each in sets):
        raise UserError(f"sets must be a list of texts, not {sets!r}")
    for name, path in paths.items():
        if not isinstance(path, str | os.PathLike | None):
            raise UserError(f"{name} must be a path, not a {type(path).__name__}")


@dataclass(frozen=True)
class Ready:
    """A recipe settled on a device, with its data read and its network built, before any step."""

    recipe: Recipe
    source: Source
    parts: Parts
    model: nn.Module
    device: torch.device


def make_ready(
    recipe: Recipe, own: Own, places: Places, start_from: PathLike | None = None
) -> Ready:
    """Read the data, build the network and settle what the recipe leaves open; tell what is told.

    Raises:
        UserError: the recipe cannot be trained on this data, device or budget.
    """
    device = resolve_device(recipe.train.device)
    recipe, expected = with_preprocessing(recipe, places.runs)
    say_notes(places.shown, expected)
    source, parts, model = assemble(recipe, own, places)
    require_trainable(recipe, parts, model, own)
    require_budget(recipe, parts, model)
    say_notes(places.shown, load_transfer(recipe, model, places.runs))
    set_up(device, recipe)
    if start_from is not None:
        begin_with(model, start_from, places)
    resolved, resolution = resolve(
        recipe,
        source,
        parts,
        device,
        lambda: copy.deepcopy(model),
        free_memory(device),
        own_model=own.model is not None,
    )
    say_notes(places.shown, resolution)
    return Ready(resolved, source, parts, model, device)


def start_run(
    recipe: Recipe,
    notes: Sequence[str],
    names: tuple[str, str | None],
    own: Own,
    places: Places,
    start_from: PathLike | None,
    budget: int | None,
) -> Run:
    """Resolve the recipe, make the run folder, with its first checkpoint in it, and train."""
    say_notes(places.shown, notes)
    ready = make_ready(recipe, own, places, start_from)
    resolved, source, parts, device = ready.recipe, ready.source, ready.parts, ready.device
    environment = described(resolved, parts, device, own.model) | {
        "command": command_line(),
        "own_model": own.model is not None,
        "start_from": None if start_from is None else lasting_path(start_from, places.runs),
        "data_root": None if places.data_root is None else os.fspath(places.data_root),
        "test_images": parts.test.checksum(),
        "left_out": [
            *map(str, source.problems),
            *(f"{name}: is no image by its name, or lies in no class" for name in source.others),
        ],
    }
    job = build_job(resolved, parts, source, device, ready.model)
    state = build_state(resolved, job)
    make_fit(resolved, parts, job, state, budget, places.shown.say)
    base, name = names
    folder = RunFolder.create(
        find_runs_folder(places.runs),
        base,
        to_yaml(resolved),
        environment,
        name,
        begin=lambda draft: first_checkpoint(draft, job, state),
    )
    with folder.locked(patience=1.0):
        return run_session(Run(folder), resolved, (source, parts), job, own, places)


def require_trainable(recipe: Recipe, parts: Parts, model: nn.Module, own: Own) -> None:
    """Raise UserError for what would otherwise show only in the middle of a training."""
    two = parts.normalise(parts.train.take(torch.arange(min(2, len(parts.train))))[0])
    named = recipe.model.name if own.model is None else "the network"
    images = min(recipe.train.batch_size, len(parts.train))
    micro = len(torch.arange(images).chunk(recipe.train.accumulate)[-1])
    require_fit(model, two, len(parts.classes), named, smallest=micro)
    if recipe.train.tensorboard and not installed():
        raise UserError('train.tensorboard needs TensorBoard: pip install "convsmith[track]"')
    build_loss(recipe, parts)


def resume_run(path: PathLike, own: Own, places: Places, *, inexact: bool) -> Run:
    """Go on where a run stopped, bit for bit; a finished run is returned as it is."""
    run = open_run(path, places.runs)
    recipe, elsewhere = for_this_machine(run.recipe)
    with run.folder.locked(patience=1.0), within_budget(recipe, places.shown.say):
        if run.finished:
            try:
                _ = run.results
                for sealed in run.folder.sealed():
                    run.folder.require_whole(sealed)
                places.shown.say(f"{run.path} is finished; to train on: --from")
                write_page(run.folder, places.shown.say)  # a kill may have come before it
                return run
            except DamagedError as error:
                what = str(error).partition(";")[0]
                places.shown.say(f"making again what is damaged: {what}")
        if elsewhere and not inexact:
            raise ResumeError(
                f"{run.path} cannot go on bit for bit here: {elsewhere} (--inexact goes on all the "
                "same)"
            )
        stored = run.environment
        require_own_model(run, own.model)
        torch.set_num_threads(stored["exact"]["threads"])
        device = resolve_device(recipe.train.device)
        source, parts, model = assemble(recipe, own, places)
        set_up(device, recipe)
        changed = differences(stored, described(recipe, parts, device, own.model))
        if changed and not inexact:
            raise ResumeError(
                f"{run.path} cannot go on bit for bit here: {'; '.join(changed)} "
                "(--inexact goes on all the same)"
            )
        job = build_job(recipe, parts, source, device, model)
        return run_session(run, recipe, (source, parts), job, own, places)


def assemble(recipe: Recipe, own: Own, places: Places) -> tuple[Source, Parts, nn.Module]:
    """Read the data, split it, and build the network."""
    source = own.data
    if source is None:
        with ticking(places.progress) as say:
            source = read_source(recipe, find_root(places.data_root), say)
    say_notes(places.shown, source.notes)
    parts = split(recipe, source)
    if source.test is None:
        count = f"{len(parts.test):,} images ({recipe.data.test:.0%}, data.test)"
        note = f"{source.name} has no test part: {count} are kept for the test"
        say_notes(places.shown, [note])
    images = parts.train
    if own.model is not None:
        return source, parts, own.model
    model = build_model(recipe, len(parts.classes), images.channels, images.image_size)
    return source, parts, model


def say_notes(shown: Progress, notes: Sequence[str]) -> None:
    """Show what the person should know, a line each."""
    for note in notes:
        shown.say(f"note: {note}")


def begin_with(model: nn.Module, start_from: PathLike, places: Places) -> None:
    """Copy a finished run's weights into a new network of the same shape."""
    weights = read_weights(open_run(start_from, places.runs).folder)
    try:
        load_weights(model.state_dict(), weights)
    except CheckpointError as error:
        raise UserError(f"--from {start_from}: {error}; give the same network") from error


def run_session(
    run: Run,
    recipe: Recipe,
    data: tuple[Source, Parts],
    job: Job,
    own: Own,
    places: Places,
) -> Run:
    """Train from the newest checkpoint, the first one being of step 0, and finish the run."""
    source, parts = data
    with Journal(run.folder, tensorboard=recipe.train.tensorboard) as journal:
        session = Session(
            recipe=recipe,
            job=job,
            state=build_state(recipe, job),
            run=run.folder,
            journal=journal,
            progress=places.shown,
            clock=StepClock(job.device),
            resume=resume_command(run, places),
        )
        session.say(headline(recipe, parts, source, job.model, own.model))
        session.say(f"run: {run.path}")
        restore_newest(session)
        if session.state.step:
            session.say(f"going on at step {session.state.step} of {job.total_steps}")
        try:
            if not session.state.step:
                write_samples(run.folder, parts, augmentation(recipe, source), recipe.seed)
            drive(session)
            finish(session, parts, card(recipe, parts, own.model))
        except (KeyboardInterrupt, Terminated) as stop:  # not in a step: nothing more is written
            number = signal.SIGTERM if isinstance(stop, Terminated) else signal.SIGINT
            raise Interrupted(number, session.resume) from None
        except OSError as error:
            place = f"{error.filename}: " if error.filename else ""
            raise WriteError(
                f"{place}{error.strerror or error}; once that is mended: {session.resume}"
            ) from error
    return run


def resume_command(run: Run, places: Places) -> str:
    """Return what to type to go on with a run that was stopped."""
    words = ["convsmith", "train", "--resume", str(run.path)]
    if places.data_root is not None:
        words += ["--data-root", os.fspath(places.data_root)]
    return shlex.join(words)
