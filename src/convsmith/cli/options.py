"""Options that several commands share."""

from collections.abc import Callable
from typing import Any

import click

__all__ = ["as_json", "data_root", "recipe_flags", "runs"]

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

as_json: Decorator = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object as the last line."
)
runs: Decorator = click.option(
    "--runs", metavar="DIR", help="The folder of runs.  [CONVSMITH_RUNS, else runs]"
)
data_root: Decorator = click.option(
    "--data-root", metavar="DIR", help="Where data sets lie.  [CONVSMITH_DATA, else data]"
)

FLAGS = (
    click.option("--data", help="A data set's name, folder:PATH or csv:PATH."),
    click.option("--epochs", type=int, help="Passes over the training images."),
    click.option("--batch-size", type=int, help="Images in one optimizer step."),
    click.option("--lr", type=float, help="The learning rate."),
    click.option("--seed", type=int, help="Decides everything random."),
    click.option("--device", help="auto, cpu, cuda or cuda:N."),
    click.option("--precision", help="auto, fp32, bf16 or fp16."),
    click.option("--memory", help="What training may take: 6GB, 90% of what is free, or none."),
    click.option(
        "--set", "sets", multiple=True, metavar="PATH=VALUE", help="Any value; may be repeated."
    ),
)


def recipe_flags(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that change a recipe."""
    for option in reversed(FLAGS):
        function = option(function)
    return function


def flags(values: dict[str, Any]) -> dict[str, object]:
    """Return the recipe flags that were given, by their option names."""
    return {name.replace("_", "-"): value for name, value in values.items() if value is not None}
