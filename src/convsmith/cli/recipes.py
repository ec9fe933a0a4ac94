"""``convsmith recipes``."""

import click

from convsmith.api.recipes import recipes
from convsmith.cli import options
from convsmith.cli.output import print_json

__all__ = ["command"]


@click.command("recipes")
@options.as_json
def command(as_json: bool) -> None:
    """List the presets: what they are for, and the test accuracy that each reached."""
    found = recipes()
    if as_json:
        print_json({"recipes": found})
        return
    width = max(len(preset.name) for preset in found)
    for preset in found:
        print(f"{preset.name:<{width}}  {preset.about}")
        print(f"{'':<{width}}  {preset.reached or 'not measured yet'}")
