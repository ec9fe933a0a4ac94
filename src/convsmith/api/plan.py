"""Say what a training takes before it is run: memory, time, and whether the design is sound."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch

from convsmith.api.budget import free_memory
from convsmith.api.calibrate import this_machine
from convsmith.api.run import open_run
from convsmith.data.facts import Facts, facts
from convsmith.errors import UserError
from convsmith.planning.checklist import Check, Design, check
from convsmith.planning.choices import Choice, Steps, choices
from convsmith.planning.devices import find_device
from convsmith.planning.estimate import Memory, Seconds, by_owner, seconds_of
from convsmith.planning.machine import Machine, published
from convsmith.planning.trace import Trace
from convsmith.recipe.build import LAYOUTS, build_model, build_optimizer
from convsmith.recipe.load import load_recipe
from convsmith.recipe.schema import Recipe
from convsmith.sizes import in_words, parse_memory
from convsmith.training.device import resolve_device

__all__ = ["Choice", "Plan", "PlannedLayer", "plan"]

PathLike = str | os.PathLike[str]
GPU_SPARE = 0.9  # of a card's memory; the rest is the driver's and the allocator's


@dataclass(frozen=True)
class PlannedLayer:
    """One layer; ``seconds`` are of forward and backward of a micro-batch, bound as said."""

    name: str
    kind: str
    output: tuple[int, ...]
    parameters: int
    macs: int
    flops: int
    kept_bytes: int
    kept_share: float
    seconds: float
    bound: str


@dataclass(frozen=True)
class Plan:
    """What a training takes. Bytes and seconds; ``images`` are those trained on in an epoch."""

    recipe: str
    network: str
    device: str
    basis: str
    precision: str
    batch_size: int
    accumulate: int
    image: tuple[int, int, int]
    classes: int
    images: int
    parameters: int
    macs: int
    flops: int
    file_bytes: int
    layers: tuple[PlannedLayer, ...]
    memory: Memory
    room: int | None
    step_seconds: float
    epoch_seconds: float
    run_seconds: float
    images_per_second: float
    inference_images_per_second: float
    arithmetic_share: float
    choices: tuple[Choice, ...]
    answer: str
    checks: tuple[Check, ...]
    notes: tuple[str, ...]


def plan(
    recipe: str | Path | Mapping[str, object],
    *,
    device: str = "auto",
    memory: str | None = None,
    runs: PathLike | None = None,
    flags: Mapping[str, object] | None = None,
    sets: Sequence[str] = (),
    say: Callable[[str], None] = lambda text: None,
    **keywords: object,
) -> Plan:
    """Return what the training of a recipe, or of a run's recipe, takes.

    Nothing is trained and the data is not read: the step is recorded on tensors without bytes.

    Args:
        recipe: a preset's name, a recipe file, a mapping, or a run.
        device: ``auto``, ``cpu``, or a device that you need not have, such as ``t4``.
        memory: what training may take, such as ``6GB``; by default the recipe's budget, else what
            the device has.
        runs: the folder of runs.
        flags: what the command line's common options say, by option name.
        sets: ``path=value`` strings, as ``--set`` takes them.
        say: told what is being measured, the first time on a machine.
        keywords: any recipe value by its short name.

    Raises:
        RecipeError: the recipe has mistakes.
        UserError: there is no such device, or no such size of memory.
    """
    loaded, name = recipe_of(recipe, runs, flags or {}, sets, keywords)
    train, data = loaded.train, loaded.data
    machine, on_gpu = machine_of(device, say)
    if train.precision != "auto":
        machine = replace(machine, precision=train.precision)
    limit = parse_memory(loaded.budget.memory if memory is None else memory)
    room = room_of(limit, machine, on_gpu=on_gpu)
    known = facts(data.source, data.image_size, data.channels)
    images = known.trained(data.test, data.validation)
    steps = steps_of(loaded, known, images, held=limit is not None and not on_gpu)
    again = train.gradient_checkpointing == "all"
    made = steps.trace(machine.precision, train.accumulate, recompute=again)
    used = steps.memory(made, machine, machine.precision)
    seconds = seconds_of(made, machine, train.accumulate)
    found = choices(steps, machine, train.accumulate, room)
    per_epoch = max(1, images // steps.batch)
    total = min(train.max_steps or per_epoch * train.epochs, per_epoch * train.epochs)
    asked = Asked(loaded, known, steps.batch, images)
    return Plan(
        recipe=name,
        network=loaded.model.name,
        device=machine.name,
        basis=machine.basis,
        precision=machine.precision,
        batch_size=steps.batch,
        accumulate=train.accumulate,
        image=steps.image,
        classes=known.classes,
        images=images,
        parameters=made.parameters,
        macs=made.macs,
        flops=2 * made.macs,
        file_bytes=made.weights,
        layers=layers_of(made, machine),
        memory=used,
        room=room,
        step_seconds=seconds.step,
        epoch_seconds=seconds.step * per_epoch,
        run_seconds=seconds.step * total,
        images_per_second=steps.batch / seconds.step,
        inference_images_per_second=made.micro_batch / seconds.inference,
        arithmetic_share=seconds.arithmetic,
        choices=tuple(found),
        answer=answer(asked, used, room, machine.precision, seconds, found),
        checks=check(design(asked, machine, used, room, seconds.step * total, made), made),
        notes=known.notes,
    )


@dataclass(frozen=True)
class Asked:
    """A recipe with what is known of its data, and the batch and images that come of both."""

    recipe: Recipe
    known: Facts
    batch: int
    images: int


def steps_of(recipe: Recipe, known: Facts, images: int, *, held: bool) -> Steps:
    """Return the recipe's training step, for tracing."""
    return Steps(
        build_model(recipe, known.classes, known.channels, known.image_size),
        partial(build_optimizer, recipe),
        (known.channels, *known.image_size),
        min(recipe.train.batch_size, images),
        LAYOUTS.get(recipe.train.memory_format, torch.channels_last),
        average=recipe.train.ema is not None,
        data=known.bytes_in_memory,
        held=held,
    )


def recipe_of(
    recipe: str | Path | Mapping[str, object],
    runs: PathLike | None,
    flags: Mapping[str, object],
    sets: Sequence[str],
    keywords: Mapping[str, object],
) -> tuple[Recipe, str]:
    """Return the recipe that is meant, a run's if it is one, and its name."""
    if isinstance(recipe, str | Path) and (Path(recipe) / "recipe.yaml").exists():
        run = open_run(recipe, runs)
        path = run.path / "recipe.yaml"
        return load_recipe(path, flags=flags, sets=sets, keywords=keywords).recipe, str(run.path)
    loaded = load_recipe(recipe, flags=flags, sets=sets, keywords=keywords).recipe
    return loaded, Path(recipe).stem if isinstance(recipe, str | Path) else "recipe"


def machine_of(device: str, say: Callable[[str], None]) -> tuple[Machine, bool]:
    """Return the machine called ``device``, and whether it is a graphics processor."""
    if device in ("auto", "cpu") or device.startswith("cuda"):
        here = resolve_device(device)
        if here.type == "cpu":
            return this_machine(say), False
        device = torch.cuda.get_device_name(here)
    return published(find_device(device)), True


def room_of(said: int | float | None, machine: Machine, *, on_gpu: bool) -> int | None:
    """Return the bytes that training may take."""
    there = int(GPU_SPARE * machine.memory) if machine.memory else None
    if not on_gpu:
        there = free_memory(torch.device("cpu"))
    if isinstance(said, float):
        if there is None:
            raise UserError("this system does not say how much memory is free; give a size")
        return int(said * there)
    return there if said is None else said


def layers_of(made: Trace, machine: Machine) -> tuple[PlannedLayer, ...]:
    """Return the layers with their times and shares."""
    times = by_owner((each for each in made.step if each.phase != "update"), machine)
    kept = made.kept or 1
    return tuple(
        PlannedLayer(
            name=layer.name or "(network)",
            kind=layer.kind,
            output=layer.output[1:],
            parameters=layer.parameters,
            macs=layer.macs,
            flops=2 * layer.macs,
            kept_bytes=layer.kept_bytes,
            kept_share=layer.kept_bytes / kept,
            seconds=times.get(layer.name, (0.0, False))[0],
            bound="arithmetic" if times.get(layer.name, (0.0, False))[1] else "memory",
        )
        for layer in made.layers
    )


def answer(
    asked: Asked,
    used: Memory,
    room: int | None,
    precision: str,
    seconds: Seconds,
    found: Sequence[Choice],
) -> str:
    """Return the answer in words: whether it fits, and what to change if it does not."""
    accumulate = asked.recipe.train.accumulate
    split = f" in {accumulate} micro-batches" if accumulate > 1 else ""
    words = f"{in_words(used.training)} at batch {asked.batch}{split} with {precision}"
    if room is None:
        return f"takes {words}"
    if used.training <= room:
        return f"fits in {in_words(room)}: {words}"
    best = next((each for each in found if each.fits), None)
    if best is None:
        return (
            f"does not fit in {in_words(room)}: {words}; nor does any of the choices: a smaller "
            "batch, image or width would take less"
        )
    changes = []
    if best.precision != precision:
        changes.append(f"--precision {best.precision}")
    if best.accumulate != accumulate:
        changes.append(f"--set train.accumulate={best.accumulate}")
    if best.gradient_checkpointing == "all":
        changes.append("--set train.gradient_checkpointing=all")
    slower = best.step_seconds / seconds.step - 1
    smaller = best.memory / used.training - 1
    return (
        f"does not fit in {in_words(room)}: {words}; use {' '.join(changes)} "
        f"({slower:+.0%} time, {smaller:+.0%} memory)"
    )


def design(
    asked: Asked,
    machine: Machine,
    used: Memory,
    room: int | None,
    run_seconds: float,
    made: Trace,
) -> Design:
    """Return what the check-list looks at."""
    recipe = asked.recipe
    optimizer, model = recipe.optimizer.options, recipe.model.options
    return Design(
        image=(asked.known.channels, *asked.known.image_size),
        classes=asked.known.classes,
        images=asked.images,
        epochs=recipe.train.epochs,
        batch=asked.batch,
        micro_batch=made.micro_batch,
        learning_rate=optimizer["learning_rate"],
        schedule=recipe.schedule.name,
        warmup=recipe.schedule.options.get("warmup_epochs", 0.0),
        weight_decay=optimizer.get("weight_decay", 0.0),
        dropout=max(model.get("dropout", 0.0), model.get("block_dropout", 0.0)),
        smoothing=recipe.loss.options.get("label_smoothing", 0.0),
        augmented=recipe.data.augment != "none",
        pretrained=recipe.transfer.weights is not None,
        batch_norm=any("BatchNorm" in layer.kind for layer in made.layers),
        precision=machine.precision,
        fastest=machine.fastest,
        memory=used.training,
        room=room,
        seconds=run_seconds,
    )
