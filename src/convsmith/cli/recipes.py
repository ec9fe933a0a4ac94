"""``convsmith recipes``."""

import click

from convsmith.api.recipes import recipes
from convsmith.cli.options import json_option
from convsmith.cli.output import print_json, table

__all__ = ["command"]


@click.command("recipes")
@json_option
def command(as_json: bool) -> None:
    """List the presets and what each reached.

    Train one with `convsmith train NAME`; see all that it sets with `convsmith recipe show NAME`.
    """
    found = recipes()
    if not as_json:
        rows = [("recipe", "reached", "about")]
        rows += [(each.name, each.reached or "", each.about) for each in found]
        print(table(rows))
    else:
        print_json({"recipes": found})
