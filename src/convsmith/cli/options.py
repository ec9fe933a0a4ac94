"""Options that several commands share, as decorators."""

import functools
from collections.abc import Callable
from typing import Any

import click

__all__ = ["FLAGS", "data_root_option", "json_option", "recipe_options", "runs_option"]

Command = Callable[..., Any]

# What each flag sets is the recipe's business; values are read there, together with all others, so
# that every mistake is reported at once.
FLAGS = {
    "epochs": ("N", "How many times to go through the training images."),
    "batch_size": ("N", "Images in one optimizer step."),
    "lr": ("RATE", "The optimizer's learning rate."),
    "seed": ("N", "The number that all randomness is derived from."),
    "device": ("DEVICE", "auto, cpu, cuda or cuda:N."),
    "precision": ("KIND", "auto, fp32, bf16 or fp16."),
}


def json_option(function: Command) -> Command:
    """Add ``--json``, as the parameter ``as_json``."""
    return click.option(
        "--json", "as_json", is_flag=True, help="Print one JSON object as the last line."
    )(function)


def runs_option(function: Command) -> Command:
    """Add ``--runs DIR``; None leaves the choice to the verb, which knows ``CONVSMITH_RUNS``."""
    return click.option(
        "--runs",
        metavar="DIR",
        type=click.Path(file_okay=False),
        help="The folder of runs; by default CONVSMITH_RUNS, else ./runs.",
    )(function)


def data_root_option(function: Command) -> Command:
    """Add ``--data-root DIR``; None leaves the choice to the verb, which knows ``CONVSMITH_DATA``."""
    return click.option(
        "--data-root",
        metavar="DIR",
        type=click.Path(file_okay=False),
        help="Where data sets lie; by default CONVSMITH_DATA, else ./data.",
    )(function)


def recipe_options(function: Command) -> Command:
    """Add the flags of :data:`FLAGS` as one parameter ``flags``, and ``--set`` as ``sets``.

    ``flags`` holds only those that were given, by name, as the text that was typed.
    """

    @functools.wraps(function)
    def gather(**parameters: Any) -> Any:
        given = {name: parameters.pop(name) for name in FLAGS}
        flags = {name: value for name, value in given.items() if value is not None}
        return function(flags=flags, **parameters)

    command: Command = gather
    command = click.option(
        "--set",
        "sets",
        metavar="PATH=VALUE",
        multiple=True,
        help="Set any value of the recipe, for example train.ema=0.99; may be repeated.",
    )(command)
    for name, (metavar, text) in reversed(FLAGS.items()):
        command = click.option(f"--{name.replace('_', '-')}", name, metavar=metavar, help=text)(command)
    return command
