"""Writing recipes: as YAML that reads back equal, and as a JSON schema for editors."""

from typing import Any

import yaml
from pydantic import TypeAdapter

from convsmith.recipe.layers import NAMED
from convsmith.recipe.presets import HEADER
from convsmith.recipe.reader import scalar
from convsmith.recipe.schema import Recipe

__all__ = ["json_schema", "to_yaml"]


class Dumper(yaml.SafeDumper):
    """Quotes every text that the reader would take for something else."""


def represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    """Return a scalar, quoted where it must be."""
    style = '"' if scalar(text) != text or not text.isprintable() else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style)


def represent_list(dumper: yaml.SafeDumper, items: list[Any]) -> yaml.SequenceNode:
    """Return a list on one line."""
    return dumper.represent_sequence("tag:yaml.org,2002:seq", items, flow_style=True)


Dumper.add_representer(str, represent_text)
Dumper.add_representer(list, represent_list)


def to_yaml(recipe: Recipe) -> str:
    """Return the whole recipe, every default written out."""
    values = recipe.model_dump(mode="json")
    return yaml.dump(values, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=100)


def json_schema() -> dict[str, Any]:
    """Return the JSON schema of recipe files as people write them.

    Nothing is required, since a ``base`` may say it; a section may be just a name.
    """
    schema = TypeAdapter(Recipe).json_schema()
    schema.pop("required")
    for definition in schema["$defs"].values():
        definition.pop("required", None)
    for section, known in NAMED.items():
        union = schema["properties"][section]
        union.pop("discriminator")  # of a name that may be missing
        union["anyOf"] = [{"enum": list(known)}, *union.pop("oneOf")]
    rule = schema["$defs"]["Train"]["properties"]["on_nonfinite"]
    actions = schema["$defs"]["OnNonFinite"]["properties"]["action"]["enum"]
    rule["anyOf"] = [{"enum": actions}, {"$ref": rule.pop("$ref")}]
    size = schema["$defs"]["Data"]["properties"]["image_size"]
    size["anyOf"].insert(0, {"type": "integer", "minimum": 1})
    text = {"type": "string"}
    schema["properties"] |= dict.fromkeys(("base", *HEADER), text)
    return schema | {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "convsmith recipe",
    }
