"""Evidence for a diagnosis: a recipe trained for a while and watched, or a run that is over."""

import copy
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import torch
from pydantic import TypeAdapter, ValidationError
from torch import nn

from convsmith.api.elsewhere import for_this_machine
from convsmith.api.evaluate import read_parts
from convsmith.api.load import put_weights
from convsmith.api.progress import Outlook, Progress
from convsmith.api.run import Run, require_own_model
from convsmith.api.trial import Trial
from convsmith.data import find_root
from convsmith.data.images import Images, Source
from convsmith.errors import CheckpointError, DamagedError, NonFiniteError
from convsmith.insight.data_rules import LIKE
from convsmith.insight.duplicates import fingerprints, near_copies
from convsmith.insight.evidence import Epoch, Evidence, Leak, NonFinite, Settings
from convsmith.insight.survey import Survey, survey
from convsmith.insight.watch import Reading, Watch
from convsmith.randomness import generator
from convsmith.recipe.build import (
    Parts,
    augmentation,
    build_job,
    build_model,
    build_state,
    eval_batches,
    read_source,
    set_up,
)
from convsmith.recipe.schema import Recipe
from convsmith.training.checkpoint import checkpoints, load_checkpoint
from convsmith.training.device import resolve_device
from convsmith.training.evaluate import evaluate
from convsmith.training.fit import EpochEnd, Step, add_gradients, fit
from convsmith.training.job import Job, State
from convsmith.training.recovery import locate_nonfinite
from convsmith.training.snapshot import load_weights
from convsmith.training.snapshot import part as named_part

__all__ = ["watch_recipe", "watch_run"]

READINGS = 60  # steps of a training that are watched, evenly spaced
GRADIENTS = 3  # batches whose gradients a finished run is asked for
EXAMPLES = 5
COMPARED = 100_000  # training images, and a tenth of it held-out ones, that copies are sought among


def watch_recipe(ready: Trial, epochs: int, images: int, shown: Progress) -> Evidence:
    """Train a recipe's network for some epochs and return everything that was seen.

    Args:
        ready: the recipe; nothing of the training is kept.
        epochs: after which it ends; the schedule is that of the whole training.
        images: of the training part, the most that are looked at after it.
        shown: told how it goes.
    """
    recipe, parts = ready.ready.recipe, ready.ready.parts
    job, state = ready.job(recipe.seed)
    seen = train_watched(job, state, min(epochs, job.epochs), shown)
    known = about(recipe, ready.ready.source, parts, own_model=ready.own_model)
    known = replace(
        known,
        complete=state.epoch == job.epochs,
        losses=tuple(seen.losses),
        epochs=tuple(seen.epochs),
        readings=tuple(seen.readings),
        nonfinite=seen.nonfinite,
    )
    return known if seen.nonfinite else look(known, recipe, parts, job, images)


def watch_run(
    run: Run,
    images: int,
    *,
    model: nn.Module | None,
    data: Source | None,
    data_root: str | os.PathLike[str] | None,
    shown: Progress,
) -> Evidence:
    """Return everything that a run's files, weights and data show; an unfinished one's newest.

    Raises:
        ResumeError: the images have changed since.
        UserError: it trained a network of the user's own, and that is not given.
    """
    require_own_model(run, model)
    recipe, note = for_this_machine(run.recipe)
    if note:
        shown.say(f"note: {note}")
    device = resolve_device(recipe.train.device)
    set_up(device, recipe)
    source = data or read_source(recipe, find_root(data_root), shown.say)
    parts = read_parts(run, recipe, "train", source, data_root)
    if model is not None:
        model = copy.deepcopy(model)
    else:
        size = parts.train.image_size
        model = build_model(recipe, len(parts.classes), parts.train.channels, size)
    if run.finished:
        put_weights(run.folder, model)
    else:
        load_weights(model.state_dict(), newest_weights(run))
    job = replace(build_job(recipe, parts, source, device, model), ema=None)
    known = about(recipe, source, parts, own_model=run.environment.get("own_model", False))
    known = replace(with_course(known, run), complete=run.finished)
    spoiled = first_nonfinite(model)
    if spoiled:
        last = max((step for step, _ in known.losses), default=0)
        found = NonFinite(last, f"in the stored weights, `{spoiled}`")
        return replace(known, nonfinite=known.nonfinite or found)
    known = look(known, recipe, parts, job, images)
    if not known.readings:  # last, since passes in training mode change BatchNorm's statistics
        known = replace(known, readings=tuple(gradients(job, build_state(recipe, job))))
    return known


def with_course(known: Evidence, run: Run) -> Evidence:
    """Return the evidence with what a run has logged.

    Raises:
        DamagedError: that is not what convsmith wrote.
    """
    events = run.metrics
    try:
        return replace(
            known,
            losses=tuple(logged_losses(events)),
            epochs=tuple(to_epoch(e) for e in events if e["event"] == "epoch"),
            readings=logged(events),
            nonfinite=last_nonfinite(events),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise DamagedError(f"{run.folder.metrics} is not as convsmith wrote it") from error


def first_nonfinite(model: nn.Module) -> str | None:
    """Return the name of the first weights or statistics that hold NaN or infinity, if any do."""
    named = model.state_dict().items()
    return next((name for name, tensor in named if not tensor.isfinite().all()), None)


def newest_weights(run: Run) -> dict[str, torch.Tensor]:
    """Return the weights of an unfinished run's newest checkpoint."""
    folders = checkpoints(run.folder.checkpoints)
    if not folders:
        raise CheckpointError(f"{run.folder.checkpoints}: there is no checkpoint")
    tensors, _ = load_checkpoint(folders[-1])
    return named_part(tensors, "model.")


@dataclass
class Seen:
    """What a watched training has shown so far."""

    losses: list[tuple[int, float]]
    epochs: list[Epoch]
    readings: list[Reading]
    nonfinite: NonFinite | None = None


def train_watched(job: Job, state: State, epochs: int, shown: Progress) -> Seen:
    """Train and look into some steps."""
    seen = Seen([], [], [])
    per_epoch = job.batches.steps_per_epoch
    total = epochs * per_epoch
    every = -(-total // READINGS)
    began = time.perf_counter()
    shown.begin(Outlook(epochs, per_epoch, total, 0))
    watch: Watch | None = Watch(job.model)
    try:
        for event in fit(job, state):
            if isinstance(event, Step):
                loss = float(event.loss)
                seen.losses.append((event.step, loss))
                if watch is not None:
                    seen.readings.append(watch.read(event.step, event.learning_rate, loss))
                    watch.close()
                watch = Watch(job.model) if event.step % every == 0 else None
            elif isinstance(event, EpochEnd):
                seen.epochs.append(end_of(event, job))
                left = (time.perf_counter() - began) / event.epoch * (epochs - event.epoch)
                shown.epoch(event, "", left)
                if event.epoch == epochs:
                    break
    except NonFiniteError as error:
        if watch is not None:
            watch.close()
            watch = None
        state.step, state.epoch = error.step, error.step // per_epoch
        seen.nonfinite = NonFinite(error.step, locate_nonfinite(job, state, error.step))
    finally:
        if watch is not None:
            watch.close()
        shown.end()
    return seen


def end_of(event: EpochEnd, job: Job) -> Epoch:
    """Return the end of an epoch, with the validation part measured."""
    val = None
    if job.validation is not None:
        val = evaluate(job.model, job.validation, job.loss, job.precision)
    return Epoch(
        epoch=event.epoch,
        step=event.step,
        train_loss=event.loss,
        train_top1=event.top1,
        val_loss=None if val is None else val.loss,
        val_top1=None if val is None else val.top1,
    )


def gradients(job: Job, state: State) -> list[Reading]:
    """Return readings of the gradients of some batches, without making a step."""
    readings = []
    if job.phases is None:
        job.model.train()
    else:
        job.phases.begin(job.model, job.epochs - 1)
    batches = job.batches.epoch(job.epochs)  # an epoch that was not trained on
    with torch.random.fork_rng(range(torch.cuda.device_count())):
        for number, (images, labels) in zip(range(GRADIENTS), batches, strict=False):
            watch = Watch(job.model)
            try:
                total, _ = add_gradients(job, state, images, labels)
                loss = float(total) / len(labels)
                readings.append(watch.read(number + 1, 0.0, loss, updated=False))
            finally:
                watch.close()
    return readings


def about(recipe: Recipe, source: Source, parts: Parts, *, own_model: bool) -> Evidence:
    """Return what is known before anything is looked at."""
    options, model = recipe.optimizer.options, {} if own_model else recipe.model.options
    train, rates = recipe.train, [k for k in options if k.endswith("learning_rate")]
    settings = Settings(
        rates=tuple((name, options[name]) for name in rates),
        batch_size=train.batch_size,
        epochs=train.epochs,
        precision=train.precision,
        clip_norm=train.clip_norm,
        weight_decay=options.get("weight_decay", 0.0),
        norm=model.get("norm"),
        dropout=model.get("dropout"),
        augmented=recipe.data.augment != "none",
        mixed=augmentation(recipe, source).mixes,
        balanced=recipe.data.balance != "none",
        chosen=train.early_stopping is not None or train.keep == "best",
    )
    counts = parts.train.labels.bincount(minlength=len(parts.classes))
    return Evidence(
        classes=parts.classes,
        counts=tuple(counts.tolist()),
        validation=0 if parts.validation is None else len(parts.validation),
        settings=settings,
    )


def look(known: Evidence, recipe: Recipe, parts: Parts, job: Job, images: int) -> Evidence:
    """Add what a pass of the data through the trained network shows, and copies in the data."""
    held_out = parts.validation
    return replace(
        known,
        trained=surveyed(recipe, parts, "train", job, images),
        held_out=None if held_out is None else surveyed(recipe, parts, "validation", job, images),
        leak=None if held_out is None else leak(parts.train, held_out, recipe.seed),
    )


def surveyed(recipe: Recipe, parts: Parts, name: str, job: Job, most: int) -> Survey:
    """Return what the images of a part, or so many of them by seed, show in evaluation."""
    whole = parts.named(name)
    assert whole is not None
    shown = some(whole, most, recipe.seed)
    less = replace(parts, train=shown) if name == "train" else replace(parts, validation=shown)
    batches = eval_batches(recipe, less, name, job.device)
    assert batches is not None
    return survey(job.model, batches, job.precision.forward)


def some(images: Images, most: int, seed: int) -> Images:
    """Return so many images, by seed; all if there are no more."""
    if len(images) <= most:
        return images
    return images.select(torch.randperm(len(images), generator=generator(seed, "some"))[:most])


def leak(trained: Images, held_out: Images, seed: int) -> Leak | None:
    """Return which held-out images have a near copy among the training images; None for points."""
    if held_out.image_size == (1, 1):
        return None
    trained, held_out = some(trained, COMPARED, seed), some(held_out, COMPARED // 10, seed)
    found = near_copies(prints(held_out), prints(trained))
    order = found.likeness.argsort(descending=True)
    likeness = found.likeness[order]
    copies = int((likeness >= LIKE).sum())
    pairs = [
        (named(held_out, int(at)), named(trained, int(found.likest[at])))
        for at in order[: min(EXAMPLES, copies)]
    ]
    shown = likeness[torch.linspace(0, len(likeness) - 1, min(len(likeness), 200)).long()]
    return Leak(len(held_out), copies, tuple(shown.tolist()), tuple(pairs))


def prints(images: Images) -> torch.Tensor:
    """Return the fingerprints of images."""
    chunks = torch.arange(len(images)).split(1024)
    return torch.cat([fingerprints(images.take(chosen)[0]) for chosen in chunks])


def named(images: Images, index: int) -> str:
    """Return how an image is found again."""
    return images.file(index) or f"image {index}"


def logged(events: Sequence[dict[str, Any]]) -> tuple[Reading, ...]:
    """Return the readings that a run with ``train.watch`` has logged; those of finite steps."""
    found = []
    for event in events:
        if event["event"] == "layers":
            with suppress(ValidationError):  # what is not finite is null in a log
                found.append(TypeAdapter(Reading).validate_python(event))
        elif event["event"] == "rollback":
            found = [each for each in found if each.step <= event["to"]]
    return tuple(found)


def logged_losses(events: Sequence[dict[str, Any]]) -> Iterator[tuple[int, float]]:
    """Yield the losses of a run by step; one that was not finite is null in a log."""
    for event in events:
        if event["event"] == "step" and event["loss"] is not None:
            yield number(event["step"]), number(event["loss"])


def to_epoch(event: dict[str, Any]) -> Epoch:
    """Return the end of an epoch as a run has logged it."""
    train, val = event["train"], event["val"] or {}
    return Epoch(
        epoch=number(event["epoch"]),
        step=number(event["step"]),
        train_loss=number(train["loss"]),
        train_top1=number(train["top1"]),
        val_loss=number(val.get("loss")),
        val_top1=number(val.get("top1")),
    )


def number(value: Any) -> Any:
    """Return a logged number; null is one that was not finite.

    Raises:
        TypeError: it is something else.
    """
    if value is not None and type(value) not in (int, float):
        raise TypeError(f"{value!r} is no number")
    return value


def last_nonfinite(events: Sequence[dict[str, Any]]) -> NonFinite | None:
    """Return the last step with a value that was not finite, whether or not the run went on."""
    found = [e for e in events if e["event"] in ("rollback", "nonfinite")]
    return NonFinite(found[-1]["step"], found[-1]["where"]) if found else None
