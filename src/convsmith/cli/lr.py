"""``convsmith lr``."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

import click

from convsmith.cli import options
from convsmith.cli.output import print_json, say, table
from convsmith.cli.train import show_results
from convsmith.errors import UserError

if TYPE_CHECKING:
    from convsmith.api.lr import Found

__all__ = ["command"]


@click.command("lr")
@click.argument("recipe")
@options.recipe_flags
@click.option("--start", type=float, default=1e-7, show_default=True, help="The first rate.")
@click.option("--end", type=float, default=10.0, show_default=True, help="The last rate.")
@click.option("--steps", type=int, default=100, show_default=True, help="Between them.")
@click.option("--seeds", type=int, default=3, show_default=True, help="How many sweeps.")
@click.option("--out", metavar="FILE", help="The picture, an SVG.  [lr-RECIPE.svg]")
@click.option("--apply", is_flag=True, help="Then train with the rate that is suggested.")
@options.runs
@options.data_root
@click.option(
    "--progress",
    type=click.Choice(["auto", "bars", "lines", "none"]),
    default="auto",
    help="How to show what goes on.  [bars on a terminal, lines elsewhere]",
)
@options.as_json
def command(
    recipe: str,
    start: float,
    end: float,
    steps: int,
    seeds: int,
    out: str | None,
    apply: bool,
    runs: str | None,
    data_root: str | None,
    progress: Any,
    sets: tuple[str, ...],
    as_json: bool,
    **given: Any,
) -> None:
    """Find a learning rate for RECIPE, a preset or a recipe file, in a few hundred steps.

    The rate grows exponentially, a step of training each, until the loss is four times its best.
    Nothing is kept but a picture.
    """
    from convsmith.api.lr import lr

    flags = options.flags(given)
    found = lr(
        recipe,
        start=start,
        end=end,
        steps=steps,
        seeds=seeds,
        out=out,
        runs=runs,
        data_root=data_root,
        progress=progress,
        flags=flags,
        sets=sets,
    )
    for note in found.notes:
        say(f"note: {note}")
    if not apply and as_json:
        print_json(found)
        return
    if not as_json:
        print(readable(found, recipe))
    if not apply:
        return
    if found.suggested is None:
        raise UserError("no rate is suggested, so there is none to train with")
    from convsmith.api.train import train

    run = train(
        recipe,
        runs=runs,
        data_root=data_root,
        progress=progress,
        flags=flags,
        sets=(*sets, *found.sets),
    )
    show_results(run, as_json=as_json)


def readable(found: Found, recipe: str) -> str:
    """Return the suggestions as a person reads them."""
    from convsmith.api.lr import CHOSEN, WARMED, WORDS

    rows = [("", "rate", "over the seeds")]
    for each in found.suggestions:
        star = "*" if each.rule == CHOSEN else " "
        words = f"{star} {WORDS[each.rule]}"
        if each.rate is None:
            rows.append((words, "none", ""))
        else:
            rows.append((words, f"{each.rate:.2g}", f"{each.low:.2g} to {each.high:.2g}"))
    rows.append(("  the recipe's", f"{found.current:.2g}", ""))
    noun = "sweep" if len(found.sweeps) == 1 else "sweeps"
    lines = [
        f"{found.network} with {found.optimizer}, batches of {found.batch_size}, "
        f"{len(found.sweeps)} {noun}",
        table(rows),
        f"picture: {found.picture}",
    ]
    if found.suggested is not None:
        why = f", {WARMED:g} times the valley's: the schedule warms up" if found.warms_up else ""
        lines.append(f"suggested: {found.suggested:g}{why}")
    if found.sets:
        pairs = [word for each in found.sets for word in ("--set", each)]
        command = shlex.join(["convsmith", "train", recipe, *pairs])
        lines.append(f"to train with it: {command}")
    return "\n".join(lines)
