"""Recipes to look at: the presets, one recipe written out in full, and the schema of all."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from convsmith.recipe.presets import Preset, presets

__all__ = ["Preset", "Shown", "recipe_schema", "recipes", "show_recipe"]


@dataclass(frozen=True)
class Shown:
    """A recipe with every default written out: plain values, and YAML that reads back equal."""

    recipe: dict[str, Any]
    yaml: str
    notes: tuple[str, ...]


def recipes() -> tuple[Preset, ...]:
    """Return every preset: its name, what it is for and what it reached when it was measured."""
    return presets()


def show_recipe(
    source: str | os.PathLike[str] | Mapping[str, object],
    *,
    flags: Mapping[str, object] | None = None,
    sets: Sequence[str] = (),
) -> Shown:
    """Return a preset or recipe file as it would be trained.

    Args:
        source: a preset's name, a recipe file, or a mapping of the same shape.
        flags: the command line's common options, by option name.
        sets: ``path=value`` texts, as ``--set`` takes them.

    Raises:
        RecipeError: with all mistakes of all sources.
    """
    from convsmith.recipe.load import load_recipe  # imports PyTorch; listing presets needs none
    from convsmith.recipe.write import to_yaml

    loaded = load_recipe(source, flags=flags, sets=sets)
    return Shown(loaded.recipe.model_dump(mode="json"), to_yaml(loaded.recipe), loaded.notes)


def recipe_schema() -> dict[str, Any]:
    """Return the JSON schema of recipes."""
    from convsmith.recipe.write import json_schema

    return json_schema()
