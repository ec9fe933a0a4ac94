"""``convsmith train``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from convsmith.cli import options
from convsmith.cli.output import print_json

if TYPE_CHECKING:
    from convsmith.api.run import Run

__all__ = ["command", "show_results"]


@click.command("train")
@click.argument("recipe", required=False)
@options.recipe_flags
@click.option("--resume", metavar="RUN", help="Go on with a run that was stopped.")
@click.option("--from", "start_from", metavar="RUN", help="Begin with a finished run's weights.")
@click.option("--inexact", is_flag=True, help="Resume even if not bit for bit.")
@click.option("--name", help="The run's name.  [the recipe's, numbered]")
@options.runs
@options.data_root
@click.option(
    "--progress",
    type=click.Choice(["auto", "bars", "lines", "none"]),
    default="auto",
    help="How to show the training.  [bars on a terminal, lines elsewhere]",
)
@options.as_json
def command(
    recipe: str | None,
    resume: str | None,
    start_from: str | None,
    inexact: bool,
    name: str | None,
    runs: str | None,
    data_root: str | None,
    progress: Any,
    sets: tuple[str, ...],
    as_json: bool,
    **given: Any,
) -> None:
    """Train a network from RECIPE: a preset (see `convsmith recipes`) or a recipe file.

    The test part of the data is used once, at the end. Everything about the run is kept in its
    folder.
    """
    from convsmith.api.train import train

    run = train(
        recipe,
        resume=resume,
        start_from=start_from,
        inexact=inexact,
        name=name,
        runs=runs,
        data_root=data_root,
        progress=progress,
        flags=options.flags(given),
        sets=sets,
    )
    show_results(run, as_json=as_json)


def show_results(run: Run, *, as_json: bool) -> None:
    """Print what a finished run reached."""
    results = run.results
    if as_json:
        print_json(results)
        return
    test = results.test
    noun = "epoch" if results.epochs == 1 else "epochs"
    speed = f", {results.images_per_second:,.0f} images/s" if results.images_per_second else ""
    print(
        f"test {test}  "
        f"({test.images:,} images, {results.weights} weights{', averaged' * results.averaged})\n"
        f"{results.parameters:,} parameters, {results.epochs} {noun} in "
        f"{results.seconds:.1f} s{speed}\n"
        f"run: {run.path}"
    )
