"""``convsmith diagnose``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from convsmith.cli import options
from convsmith.cli.output import print_json

if TYPE_CHECKING:
    from convsmith.api.diagnose import Finding, Plot

__all__ = ["command"]

MARKS = {"bad": "BAD ", "warn": "WARN"}
BLOCKS = "▁▂▃▄▅▆▇█"
COLUMNS = 48


@click.command("diagnose")
@click.argument("target", metavar="RUN|RECIPE")
@options.recipe_flags
@click.option(
    "--watch", type=int, default=3, show_default=True, help="Epochs that a recipe is trained for."
)
@click.option(
    "--images",
    type=int,
    default=10_000,
    show_default=True,
    help="The most images of a part that are looked at.",
)
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
    target: str,
    watch: int,
    images: int,
    runs: str | None,
    data_root: str | None,
    progress: Any,
    sets: tuple[str, ...],
    as_json: bool,
    **given: Any,
) -> None:
    """Say what is wrong with a RUN, or with the training of a RECIPE, and what to change.

    A recipe is trained for some epochs and watched, and nothing of that is kept. What is found in a
    run is written onto its page. Nothing is reported without evidence.
    """
    from convsmith.api.diagnose import diagnose

    found = diagnose(
        target,
        watch=watch,
        images=images,
        runs=runs,
        data_root=data_root,
        progress=progress,
        flags=options.flags(given),
        sets=sets,
    )
    if as_json:
        print_json(found)
        return
    for finding in found.findings:
        print(readable(finding))
    print(f"{'' if found.findings else 'nothing found; '}looked at {', '.join(found.looked)}")
    if found.page is not None:
        print(f"page: {found.page}")


def readable(finding: Finding) -> str:
    """Return a finding as a person reads it."""
    places = [
        f"layer {finding.layer}" if finding.layer else "",
        f"step {finding.step:,}" if finding.step else "",
        f"epoch {finding.epoch}" if finding.epoch else "",
    ]
    where = ", ".join(filter(None, places))
    lines = [
        ("where", where),
        ("seen", finding.evidence),
        ("", "" if finding.plot is None else sketch(finding.plot)),
        ("cause", finding.cause),
        ("change", finding.change),
        ("try", " ".join(f"--set {quoted(each)}" for each in finding.sets)),
    ]
    told = [f"      {name:<7} {text}" for name, text in lines if text]
    return "\n".join([f"{MARKS[finding.severity]}  {finding.what}", *told, ""])


def quoted(value: str) -> str:
    """Return a ``--set`` value as a shell takes it."""
    return f"'{value}'" if any(each in value for each in " {}*") else value


def sketch(plot: Plot) -> str:
    """Return a plot as a row of blocks, with its ends."""
    values = [y for _, y in plot.points if math.isfinite(y)]
    if not values:
        return ""
    scaled = [math.log10(max(y, 1e-30)) if plot.log else y for y in shortened(values)]
    low, high = min(scaled), max(scaled)
    place = (len(BLOCKS) - 1) / (high - low) if high > low else 0.0
    row = "".join(BLOCKS[round((each - low) * place)] for each in scaled)
    return f"{row}  {plot.title}, {min(values):.3g} to {max(values):.3g}"


def shortened(values: Sequence[float]) -> Sequence[float]:
    """Return at most so many values as fit in a row: the largest of each stretch."""
    size = math.ceil(len(values) / COLUMNS)
    return [max(values[at : at + size]) for at in range(0, len(values), size)]
