"""``convsmith evaluate``."""

import math
from typing import Any

import click

from convsmith.cli import options
from convsmith.cli.output import print_json

__all__ = ["command"]


@click.command("evaluate")
@click.argument("run")
@click.option(
    "--split",
    type=click.Choice(["train", "validation", "test"]),
    default="test",
    show_default=True,
    help="The part of the data.",
)
@options.runs
@options.data_root
@options.as_json
def command(run: str, split: Any, runs: str | None, data_root: str | None, as_json: bool) -> None:
    """Measure the weights of RUN again, exactly as its training did at the end."""
    from convsmith.api.evaluate import evaluate

    found = evaluate(run, split=split, runs=runs, data_root=data_root)
    if as_json:
        print_json(found)
        return
    score = found.score
    print(f"{found.split}: {score}  ({score.images:,} images)")
    width = max(map(len, found.per_class))
    for name, accuracy in sorted(found.per_class.items(), key=lambda item: item[1]):
        shown = "no image" if math.isnan(accuracy) else f"{accuracy:7.2%}"
        print(f"  {name:<{width}}  {shown}")
