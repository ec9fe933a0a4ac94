"""``convsmith plan``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from convsmith.cli import options
from convsmith.cli.output import print_json, say, table
from convsmith.sizes import in_words

if TYPE_CHECKING:
    from convsmith.api.plan import Plan

__all__ = ["command"]

MARKS = {"good": "good", "warn": "WARN", "bad": "BAD "}


@click.command("plan")
@click.argument("recipe")
@options.recipe_flags
@click.option("--layers/--stages", default=False, help="A line a layer, or a stage.  [stages]")
@options.runs
@options.as_json
def command(
    recipe: str,
    layers: bool,
    runs: str | None,
    sets: tuple[str, ...],
    as_json: bool,
    device: str | None,
    memory: str | None,
    **given: Any,
) -> None:
    """Say what training RECIPE takes, before it is run: memory, time, and how sound the design is.

    RECIPE is a preset, a recipe file or a run. --device may be one that you do not have, such as t4
    or rtx-3060; --memory is what there is, such as 6GB. Nothing is trained and no image is read.
    The exit code is 1 if nothing fits: neither RECIPE as it is nor any of the choices.
    """
    from convsmith.api.plan import plan

    found = plan(
        recipe,
        device=device or "auto",
        memory=memory,
        runs=runs,
        flags=options.flags(given),
        sets=sets,
        say=say,
    )
    if as_json:
        print_json(found)
    else:
        print(readable(found, every_layer=layers))
    if not any(each.fits for each in found.choices):
        sys.exit(1)


def readable(plan: Plan, *, every_layer: bool) -> str:
    """Return the plan as a person reads it."""
    channels, height, width = plan.image
    parts = [
        f"{plan.network}: {plan.parameters:,} parameters, {plan.macs / 1e6:,.1f} million "
        f"multiply-adds ({plan.flops / 1e6:,.1f} MFLOP) an image of {channels}x{height}x{width}",
        f"on {plan.device}, {plan.precision} ({plan.basis})",
        *(f"note: {note}" for note in plan.notes),
        "",
        table(rows(plan, every_layer=every_layer)),
        "",
        table(memory_rows(plan)),
        "",
        table(time_rows(plan)),
        "",
        "choices (* none is both faster and smaller)",
        table(choice_rows(plan)),
        "",
        table([(MARKS[each.verdict], each.topic, each.reason) for each in plan.checks]),
        "",
        plan.answer,
    ]
    return "\n".join(parts)


def rows(plan: Plan, *, every_layer: bool) -> list[tuple[str, ...]]:
    """Return the table by layer, or by stage: the first part of a layer's name."""
    head = (
        "layer",
        "kind",
        "output",
        "parameters",
        "M mult-adds",
        "kept",
        "share",
        "time",
        "bound",
    )
    found: list[tuple[str, ...]] = [head]
    if every_layer:
        groups = [(layer.name, layer.kind, [layer]) for layer in plan.layers]
    else:
        names = dict.fromkeys(layer.name.partition(".")[0] for layer in plan.layers)
        groups = [
            (name, "", [each for each in plan.layers if each.name.partition(".")[0] == name])
            for name in names
        ]
    for name, kind, layers in groups:
        slowest = max(layers, key=lambda each: each.seconds)
        found.append(
            (
                name,
                kind,
                "x".join(map(str, layers[-1].output)),
                f"{sum(each.parameters for each in layers):,}",
                f"{sum(each.macs for each in layers) / 1e6:,.1f}",
                in_words(sum(each.kept_bytes for each in layers)),
                f"{sum(each.kept_share for each in layers):.0%}",
                milliseconds(sum(each.seconds for each in layers)),
                slowest.bound,
            )
        )
    return found


def memory_rows(plan: Plan) -> list[tuple[str, str]]:
    """Return the lines on memory."""
    memory = plan.memory
    named = {
        "weights": memory.weights,
        "gradients": memory.gradients,
        "optimizer's state": memory.optimizer,
        "moving average": memory.average,
        "kept for backward": memory.activations,
        "temporary": memory.temporary,
        "images in memory": memory.data,
        "process and heap": memory.runtime,
    }
    found = [(name, in_words(size)) for name, size in named.items() if size]
    return [
        *found,
        ("peak of training", in_words(memory.training)),
        ("peak of inference", in_words(memory.inference)),
        ("file of weights", in_words(plan.file_bytes)),
    ]


def time_rows(plan: Plan) -> list[tuple[str, str]]:
    """Return the lines on time."""
    split = f", in {plan.accumulate} micro-batches" if plan.accumulate > 1 else ""
    return [
        ("a step", f"{milliseconds(plan.step_seconds)} for {plan.batch_size} images{split}"),
        ("an epoch", f"{clock(plan.epoch_seconds)} for {plan.images:,} images"),
        ("the run", clock(plan.run_seconds)),
        ("training", f"{plan.images_per_second:,.0f} images/s"),
        ("inference", f"{plan.inference_images_per_second:,.0f} images/s"),
        ("bound by", f"arithmetic {plan.arithmetic_share:.0%} of the time, else memory"),
    ]


def choice_rows(plan: Plan) -> list[tuple[str, ...]]:
    """Return the table of choices."""
    head = ("", "precision", "micro-batches", "of", "recomputed", "memory", "a step", "fits")
    return [
        head,
        *(
            (
                "*" if each.best else "",
                each.precision,
                str(each.accumulate),
                str(each.micro_batch),
                each.gradient_checkpointing,
                in_words(each.memory),
                milliseconds(each.step_seconds),
                "yes" if each.fits else "no",
            )
            for each in plan.choices
        ),
    ]


def milliseconds(seconds: float) -> str:
    """Return seconds as milliseconds with three digits."""
    return f"{1e3 * seconds:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"


def clock(seconds: float) -> str:
    """Return a time for a person."""
    if seconds < 60:
        return f"{seconds:.3g} s"
    if seconds < 3600:
        return f"{seconds / 60:.1f} min"
    return f"{seconds / 3600:.1f} h"
