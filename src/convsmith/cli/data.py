"""``convsmith data show`` and ``convsmith data verify``."""

import sys

import click

from convsmith.cli import options
from convsmith.cli.output import print_json, say

__all__ = ["command"]


@click.group("data")
def command() -> None:
    """Show a data set and its augmentations, or check that its files are whole."""


@command.command("show")
@click.argument("name")
@click.option("--out", metavar="FILE", help="Where the picture goes.  [NAME.png]")
@click.option("--data", help="A recipe's data, where it is not its own.")
@click.option(
    "--set", "sets", multiple=True, metavar="PATH=VALUE", help="A recipe's value; may be repeated."
)
@click.option("--seed", type=int, default=0, help="Which samples are shown.")
@options.data_root
@options.as_json
def show(
    name: str,
    out: str | None,
    data: str | None,
    sets: tuple[str, ...],
    seed: int,
    data_root: str | None,
    as_json: bool,
) -> None:
    """Write a picture of samples of NAME and of what augmentation makes of them.

    NAME is a data set, and then every level is shown; or a preset or recipe file, and then what it
    does to its training images.
    """
    from convsmith.api.data import show_data
    from convsmith.api.progress import ticking

    with ticking("auto") as tick:
        picture = show_data(
            name, out, data=data, sets=sets, data_root=data_root, seed=seed, say=tick
        )
    if as_json:
        print_json(picture)
        return
    for note in picture.notes:
        say(f"note: {note}")
    height, width = picture.image_size
    print(f"{picture.images:,} images of {height}x{width} in {picture.classes} classes")
    print(f"picture: {picture.path}")


@command.command("verify")
@click.argument("name")
@options.data_root
@options.as_json
def verify(name: str, data_root: str | None, as_json: bool) -> None:
    """Read every file of NAME again and list what is broken or has changed.

    NAME is a data set, or a preset or recipe file. The exit code is 1 if anything is listed.
    """
    from convsmith.api.data import verify_data
    from convsmith.api.progress import ticking

    with ticking("auto") as tick:
        found = verify_data(name, data_root=data_root, say=tick)
    if as_json:
        print_json(found)
    else:
        for problem in found.problems:
            print(problem)
        count = len(found.problems)
        noun = "problem" if count == 1 else "problems"
        verdict = f"{count:,} {noun}" if count else "all as they were"
        print(f"{found.images:,} images: {verdict}")
    if found.problems:
        sys.exit(1)
