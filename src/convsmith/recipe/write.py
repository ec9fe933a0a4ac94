"""Writing recipes: as YAML that reads back equal, and as a JSON schema for editors."""

from typing import Any

import yaml
from pydantic import TypeAdapter

from convsmith.recipe.reader import scalar
from convsmith.recipe.schema import Recipe

__all__ = ["json_schema", "to_yaml"]


class Dumper(yaml.SafeDumper):
    """Quotes every text that the reader would take for something else."""


def represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    """Return a scalar, quoted where it must be."""
    style = '"' if scalar(text) != text or not text.isprintable() else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style)


Dumper.add_representer(str, represent_text)


def to_yaml(recipe: Recipe) -> str:
    """Return the whole recipe, every default written out."""
    values = recipe.model_dump(mode="json")
    return yaml.dump(values, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=100)


def json_schema() -> dict[str, Any]:
    """Return the JSON schema of a resolved recipe."""
    return TypeAdapter(Recipe).json_schema() | {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "convsmith recipe",
    }
