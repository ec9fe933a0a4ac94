"""``convsmith recipe show`` and ``convsmith recipe schema``."""

import json
import sys
from typing import Any

import click

from convsmith.cli import options
from convsmith.cli.output import print_json

__all__ = ["command"]


@click.group("recipe")
def command() -> None:
    """Show a recipe with everything written out, or the JSON schema of recipes."""


@command.command("show")
@click.argument("name")
@options.recipe_flags
@options.as_json
def show(name: str, sets: tuple[str, ...], as_json: bool, **given: Any) -> None:
    """Print the recipe NAME, a preset or a file, with every default written out."""
    from convsmith.api.recipes import show_recipe

    shown = show_recipe(name, flags=options.flags(given), sets=sets)
    for note in shown.notes:
        print(f"note: {note}", file=sys.stderr)
    if as_json:
        print_json({"recipe": shown.recipe, "notes": shown.notes})
    else:
        print(shown.yaml, end="")


@command.command("schema")
@options.as_json
def schema(as_json: bool) -> None:
    """Print the JSON schema of recipes, for editors that complete and check YAML."""
    from convsmith.api.recipes import recipe_schema

    print(json.dumps(recipe_schema(), indent=None if as_json else 2))
