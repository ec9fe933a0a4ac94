"""``convsmith evaluate``."""

import math
from typing import TYPE_CHECKING, Any

import click

from convsmith.cli import options
from convsmith.cli.output import print_json, say, table

if TYPE_CHECKING:
    from convsmith.api.label_errors import LabelReport
    from convsmith.api.robustness import Robustness

__all__ = ["command"]

LISTED = 10


@click.command("evaluate")
@click.argument("run")
@click.option(
    "--split",
    type=click.Choice(["train", "validation", "test"]),
    default="test",
    show_default=True,
    help="The part of the data.",
)
@click.option(
    "--mirror",
    is_flag=True,
    help="Average over each image and its mirror image; for the score alone.",
)
@click.option(
    "--robustness", is_flag=True, help="Also with noise, blur, brightness and JPEG, 5 strengths."
)
@click.option(
    "--label-errors", is_flag=True, help="Also list training and validation labels to look at."
)
@click.option(
    "--folds",
    type=click.IntRange(2),
    help="With --label-errors: train so many networks, each to judge labels it has not seen.",
)
@options.runs
@options.data_root
@options.as_json
def command(
    run: str,
    split: Any,
    mirror: bool,
    robustness: bool,
    label_errors: bool,
    folds: int | None,
    runs: str | None,
    data_root: str | None,
    as_json: bool,
) -> None:
    """Measure the weights of RUN again, exactly as its training did at the end.

    --mirror is what the network could do at twice the cost; the run's results stay as they are.

    What --robustness and --label-errors find goes into the run's folder and its page too.
    """
    from convsmith.api.evaluate import evaluate

    found = evaluate(
        run,
        split=split,
        runs=runs,
        data_root=data_root,
        mirror=mirror,
        robustness=robustness,
        label_errors=label_errors,
        folds=folds,
    )
    if found.note:
        say(f"note: {found.note}")
    if as_json:
        print_json(found)
        return
    score = found.score
    seen = ", each also in the mirror" if found.mirrored else ""
    print(f"{found.split}: {score}  ({score.images:,} images{seen})")
    width = max(map(len, found.per_class))
    for name, accuracy in sorted(found.per_class.items(), key=lambda item: item[1]):
        shown = "no image" if math.isnan(accuracy) else f"{accuracy:7.2%}"
        print(f"  {name:<{width}}  {shown}")
    if found.robustness is not None:
        print_robustness(found.robustness)
    if found.label_errors is not None:
        print_label_errors(found.label_errors)


def print_robustness(found: "Robustness") -> None:
    """Print top-1 by corruption and strength."""
    print(f"\ntop-1 on worse images, {found.mean_top1:.2%} on average:")
    head = ["", "as it is", *(f"strength {number}" for number in range(1, 6))]
    rows = [
        [f"  {each.name}", *(f"{share:.2%}" for share in (found.top1, *each.top1))]
        for each in found.corruptions
    ]
    print(table([head, *rows]))


def print_label_errors(found: "LabelReport") -> None:
    """Print how many labels look wrong, and the likeliest of them."""
    print()
    for part in found.parts:
        print(f"{part.part}: {part.found:,} of {part.images:,} labels look wrong")
    rows = [
        [
            f"  {each.name or f'{each.part} image {each.index}'}",
            f"is labelled {each.label}",
            f"looks like {each.suggested}",
            f"{each.suggested_probability:.2%}",
        ]
        for each in found.errors[:LISTED]
    ]
    if rows:
        print(table(rows))
    if len(found.errors) > LISTED:
        print(f"  and {len(found.errors) - LISTED:,} more in label_errors.json")
