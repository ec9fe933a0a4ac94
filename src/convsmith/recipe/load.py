"""Loading a recipe: preset or file, then flags, then ``--set``, then Python's keywords."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from convsmith.errors import Mistake, RecipeError
from convsmith.recipe.layers import (
    FLAGS,
    KEYWORDS,
    NAMED,
    Merged,
    lay,
    note_places,
    options_layer,
    sets_layer,
    tuples,
)
from convsmith.recipe.presets import HEADER, preset_path
from convsmith.recipe.reader import Layer, read_yaml
from convsmith.recipe.schema import Recipe
from convsmith.recipe.validate import validate

__all__ = ["Loaded", "load_recipe"]


@dataclass(frozen=True)
class Loaded:
    """A valid recipe, and what its reader should know: values that were dropped or look odd."""

    recipe: Recipe
    notes: tuple[str, ...]


def load_recipe(
    source: str | os.PathLike[str] | Mapping[str, object],
    *,
    flags: Mapping[str, object] | None = None,
    sets: Sequence[str] = (),
    keywords: Mapping[str, object] | None = None,
) -> Loaded:
    """Return the recipe that ``source`` describes, under flags, sets and keywords.

    Args:
        source: a preset's name, a recipe file, or a mapping. A file may say ``base: NAME`` to lie
            over a preset or another file.
        flags: the command line's common options without their dashes, such as ``{"lr": 0.1}``.
        sets: ``path=value`` texts, the value in YAML.
        keywords: Python's short names, such as ``{"learning_rate": 0.1}``.

    Raises:
        RecipeError: with all mistakes of all sources.
    """
    merged = Merged()
    lay(merged, default_names(), inherited=True)
    try:
        layers = source_layers(source, merged)
    except RecipeError as error:  # nothing is known of it; what lies over it is still looked at
        merged.mistakes += error.mistakes
        merged.unread, layers = True, []
    for layer, inherited in layers:
        lay(merged, layer, inherited=inherited)
    flags_layer = options_layer(flags or {}, FLAGS, "--{}", merged.mistakes)
    lay(merged, flags_layer)
    lay(merged, sets_layer(sets, merged.mistakes))
    lay(merged, options_layer(keywords or {}, KEYWORDS, "keyword {}", merged.mistakes))
    recipe = validate(merged)
    return Loaded(recipe, tuple(merged.notes))


def default_names() -> Layer:
    """Return the names that sections have by default, so that their options can be set alone."""
    fields = {key: Recipe.model_fields[key] for key in NAMED}
    return Layer({key: field.default for key, field in fields.items() if not field.is_required()})


def source_layers(
    source: str | os.PathLike[str] | Mapping[str, object],
    merged: Merged,
    around: tuple[Path, ...] = (),
) -> list[tuple[Layer, bool]]:
    """Return the layers of a source, lowest first, and whether each is inherited.

    A ``base`` that cannot be read is a mistake in ``merged``; the layers over it are returned.

    Raises:
        RecipeError: the source itself cannot be read.
    """
    if isinstance(source, Mapping):
        values = tuples(source)
        layer, preset = Layer(values), False
        for key, value in values.items():
            note_places(layer, (key,), value, "recipe")
    else:
        path, shown, preset = find(source, around[-1].parent if around else Path())
        if path in around:
            chain = " → ".join(each.name for each in (*around, path))
            raise RecipeError([Mistake("base", f"leads back to itself: {chain}", shown)])
        layer = read_yaml(path, shown)
        around = (*around, path)
    for key in HEADER:
        layer.values.pop(key, None)
    if "base" not in layer.values:
        return [(layer, preset)]
    base, here = layer.values.pop("base"), layer.places["base",]
    try:
        if not isinstance(base, str):
            raise RecipeError([Mistake("base", "must be a preset or a file", here)])
        below = source_layers(base, merged, around or (Path("recipe"),))
    except RecipeError as error:
        merged.mistakes += [replace(each, where=each.where or here) for each in error.mistakes]
        merged.unread, below = True, []
    return [*((each, True) for each, _ in below), (layer, preset)]


def find(source: str | os.PathLike[str], folder: Path) -> tuple[Path, str, bool]:
    """Return a recipe's file, what it is called in messages, and whether it is a preset."""
    text = os.fspath(source)
    path = Path(text).expanduser()
    if path.suffix in (".yaml", ".yml") or len(path.parts) > 1 or isinstance(source, os.PathLike):
        path = path if path.is_absolute() else folder / path
        return path, str(path), False
    return preset_path(text), f"{text}.yaml", True
