"""``convsmith explain``."""

import sys
from typing import Any

import click

from convsmith.cli import options
from convsmith.cli.output import print_json

__all__ = ["command"]

METHODS = ("grad-cam", "grad-cam++", "integrated-gradients", "occlusion")


@click.command("explain")
@click.argument("run")
@click.argument("images", nargs=-1)
@click.option("--mistakes", is_flag=True, help="Explain the surest mistakes in the test part.")
@click.option("--class", "class_name", metavar="NAME", help="Explain test images of this class.")
@click.option(
    "--count",
    type=click.IntRange(1),
    default=8,
    show_default=True,
    help="Mistakes, or images of the class.",
)
@click.option(
    "--method", type=click.Choice(METHODS), default="grad-cam", show_default=True, help="How."
)
@click.option("--layer", metavar="NAME", help="Where Grad-CAM looks.  [the last conv. stage]")
@click.option("--target", metavar="NAME", help="The class to explain.  [the likeliest]")
@click.option(
    "--check/--no-check",
    default=True,
    help="Measure whether the maps can be believed: most of the time.  [check]",
)
@options.runs
@options.data_root
@options.as_json
def command(run: str, images: tuple[str, ...], as_json: bool, **chosen: Any) -> None:
    """Show what the network of RUN goes by in the IMAGES, or with --mistakes, or --class NAME.

    Pictures go into the run's folder: the image, a map of what speaks for a class, and both. Those
    of mistakes and classes are also shown in the run's page.
    """
    from convsmith.api.explain import explain

    found = explain(run, images or None, **chosen)
    if as_json:
        print_json(found)
    else:
        for each in found.explanations:
            print(each.picture)
            known = f"{each.label}, " if each.label is not None else ""
            verb = "predicted" if each.label in (None, each.guess) else "taken for"
            aim = ""
            if each.target != each.guess:
                aim = f"; the map is for {each.target} ({each.target_probability:.2%})"
            print(f"  {known}{verb} {each.guess} ({each.probability:.2%}){aim}")
            for line in filter(None, (each.words, each.figures)):
                print(f"  {line}")
        if found.explanations:
            print(f"by {found.method}" + (f" at {found.layer}" if found.layer else ""))
        else:
            print("the network made no mistake: there is nothing to explain")
        if found.words:
            print(found.words)
        if found.page is not None:
            print(f"page: {found.page}")
    for problem in found.problems:
        print(f"convsmith: {problem}", file=sys.stderr)
    if found.problems:
        sys.exit(1)
