"""A plan: what a recipe's training takes on a machine, with the answer in words."""

from dataclasses import dataclass
from functools import cached_property, partial

import torch
from torch import nn

from convsmith.data.facts import Facts
from convsmith.planning.checklist import Check, Design, check
from convsmith.planning.choices import Choice, Steps, choices
from convsmith.planning.estimate import Memory, Seconds, by_owner, seconds_of
from convsmith.planning.machine import Machine
from convsmith.planning.trace import Trace
from convsmith.recipe.build import LAYOUTS, build_optimizer, split_rows
from convsmith.recipe.schema import Recipe
from convsmith.sizes import in_words

__all__ = ["Asked", "Choice", "Plan", "PlannedLayer", "foresee"]


@dataclass(frozen=True)
class Asked:
    """A recipe, called ``name``, with its network and what is known of its data."""

    name: str
    recipe: Recipe
    known: Facts
    model: nn.Module
    network: str

    @property
    def image(self) -> tuple[int, int, int]:
        """Return (channels, height, width)."""
        return (self.known.channels, *self.known.image_size)

    @cached_property
    def images(self) -> int:
        """Return how many images are trained on, split as training splits them."""
        known = self.known
        return len(split_rows(self.recipe, known.labels, known.groups, known.given)["train"])

    @property
    def batch(self) -> int:
        """Return the images of an optimizer step."""
        return min(self.recipe.train.batch_size, self.images)

    @property
    def epoch(self) -> int:
        """Return the optimizer steps of an epoch."""
        return max(1, self.images // self.batch)

    @property
    def run(self) -> int:
        """Return the optimizer steps of the whole training."""
        train = self.recipe.train
        return min(train.max_steps or self.epoch * train.epochs, self.epoch * train.epochs)


@dataclass(frozen=True)
class Step:
    """A step as the recipe has it, on a machine: what it takes, and the ways to make it."""

    precision: str
    made: Trace
    memory: Memory
    room: int | None
    seconds: Seconds
    choices: tuple[Choice, ...]


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


def foresee(
    asked: Asked, machine: Machine, room: int | None, *, precision: str, held: bool
) -> Plan:
    """Return the plan of a recipe's network on a machine.

    Args:
        asked: the recipe, its network and what is known of its data.
        machine: where it is trained.
        room: the bytes that training may take.
        precision: of the step.
        held: under a limit, where freed memory is given back at once.
    """
    step = step_of(asked, machine, room, precision=precision, held=held)
    made, seconds = step.made, step.seconds
    return Plan(
        recipe=asked.name,
        network=asked.network,
        device=machine.name,
        basis=machine.basis,
        precision=precision,
        batch_size=asked.batch,
        accumulate=asked.recipe.train.accumulate,
        image=asked.image,
        classes=asked.known.classes,
        images=asked.images,
        parameters=made.parameters,
        macs=made.macs,
        flops=2 * made.macs,
        file_bytes=made.weights,
        layers=layers_of(made, machine),
        memory=step.memory,
        room=room,
        step_seconds=seconds.step,
        epoch_seconds=seconds.step * asked.epoch,
        run_seconds=seconds.step * asked.run,
        images_per_second=asked.batch / seconds.step,
        inference_images_per_second=made.micro_batch / seconds.inference,
        arithmetic_share=seconds.arithmetic,
        choices=step.choices,
        answer=answer(asked, step),
        checks=check(design(asked, step, machine), made),
        notes=(*asked.known.notes, *notes_on(machine, precision)),
    )


def step_of(
    asked: Asked, machine: Machine, room: int | None, *, precision: str, held: bool
) -> Step:
    """Return the step, traced as the recipe has it; the arguments are those of :func:`foresee`."""
    train = asked.recipe.train
    steps = steps_of(asked, held=held)
    again = train.gradient_checkpointing == "all"
    made = steps.trace(precision, train.accumulate, recompute=again)
    return Step(
        precision,
        made,
        steps.memory(made, machine),
        room,
        seconds_of(made, machine, train.accumulate),
        tuple(choices(steps, machine, precision, train.accumulate, room)),
    )


def notes_on(machine: Machine, precision: str) -> tuple[str, ...]:
    """Return a warning if the step's precision is one that the machine does not compute in."""
    if machine.trains_in(precision):
        return ()
    return (
        f"{machine.name} does not compute in {precision}: the times are those of fp32, and "
        "it will be slower",
    )


def steps_of(asked: Asked, *, held: bool) -> Steps:
    """Return how a step is made, for tracing it in one way and another."""
    known, train = asked.known, asked.recipe.train
    return Steps(
        asked.model,
        partial(build_optimizer, asked.recipe),
        asked.image,
        asked.batch,
        LAYOUTS.get(train.memory_format, torch.channels_last),
        average=train.ema is not None,
        data=known.bytes_in_memory,
        held=held,
    )


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


def answer(asked: Asked, step: Step) -> str:
    """Return the answer in words: whether it fits, and what to change if it does not."""
    accumulate, room, taken = asked.recipe.train.accumulate, step.room, step.memory.training
    split = f" in {accumulate} micro-batches" if accumulate > 1 else ""
    words = f"{in_words(taken)} at batch {asked.batch}{split} with {step.precision}"
    if room is None:
        return f"takes {words}"
    if taken <= room:
        return f"fits in {in_words(room)}: {words}"
    best = next((each for each in step.choices if each.fits), None)
    if best is None:
        return (
            f"does not fit in {in_words(room)}: {words}; nor does any of the choices: a smaller "
            "batch, image or width would take less"
        )
    changes = []
    if best.precision != step.precision:
        changes.append(f"--precision {best.precision}")
    if best.accumulate != accumulate:
        changes.append(f"--set train.accumulate={best.accumulate}")
    if best.gradient_checkpointing == "all":
        changes.append("--set train.gradient_checkpointing=all")
    slower = best.step_seconds / step.seconds.step - 1
    smaller = best.memory / taken - 1
    return (
        f"does not fit in {in_words(room)}: {words}; use {' '.join(changes)} "
        f"({slower:+.0%} time, {smaller:+.0%} memory)"
    )


def design(asked: Asked, step: Step, machine: Machine) -> Design:
    """Return what the check-list looks at."""
    recipe = asked.recipe
    optimizer, model = recipe.optimizer.options, recipe.model.options
    fastest = next(each.precision for each in step.choices if machine.trains_in(each.precision))
    return Design(
        image=asked.image,
        classes=asked.known.classes,
        images=asked.images,
        epochs=recipe.train.epochs,
        batch=asked.batch,
        micro_batch=step.made.micro_batch,
        learning_rate=optimizer["learning_rate"],
        schedule=recipe.schedule.name,
        warmup=recipe.schedule.options.get("warmup_epochs", 0.0),
        weight_decay=optimizer.get("weight_decay", 0.0),
        dropout=max(model.get("dropout", 0.0), model.get("block_dropout", 0.0)),
        smoothing=recipe.loss.options.get("label_smoothing", 0.0),
        augmented=recipe.data.augment != "none",
        pretrained=recipe.transfer.weights is not None,
        batch_norm=any("BatchNorm" in layer.kind for layer in step.made.layers),
        precision=step.precision,
        fastest=fastest,
        memory=step.memory.training,
        room=step.room,
        seconds=step.seconds.step * asked.run,
    )
