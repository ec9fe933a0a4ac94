"""Laying one source of values over another, and what happens when a name changes."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import TypeAdapter, ValidationError, create_model

from convsmith.errors import Mistake, did_you_mean
from convsmith.models import MODELS
from convsmith.recipe.reader import Layer, Path, parse_value
from convsmith.recipe.sections import Frozen, options_of
from convsmith.training.losses import LOSSES
from convsmith.training.optimizers import OPTIMIZERS
from convsmith.training.schedules import SCHEDULES

__all__ = ["FLAGS", "KEYWORDS", "NAMED", "PAIRS", "Merged", "lay", "options_layer", "sets_layer"]

NAMED: dict[str, Mapping[str, Callable[..., Any]]] = {
    "model": MODELS,
    "loss": LOSSES,
    "optimizer": OPTIMIZERS,
    "schedule": SCHEDULES,
}
FLAGS: dict[str, Path] = {
    "epochs": ("train", "epochs"),
    "memory": ("budget", "memory"),
    "batch-size": ("train", "batch_size"),
    "lr": ("optimizer", "learning_rate"),
    "data": ("data", "source"),
    "seed": ("seed",),
    "device": ("train", "device"),
    "precision": ("train", "precision"),
}
KEYWORDS: dict[str, Path] = {
    "accumulate": ("train", "accumulate"),
    "augmentation": ("data", "augment"),
    "batch_size": ("train", "batch_size"),
    "clip_norm": ("train", "clip_norm"),
    "device": ("train", "device"),
    "early_stopping": ("train", "early_stopping"),
    "ema": ("train", "ema"),
    "epochs": ("train", "epochs"),
    "learning_rate": ("optimizer", "learning_rate"),
    "loss": ("loss",),
    "max_steps": ("train", "max_steps"),
    "memory": ("budget", "memory"),
    "model": ("model",),
    "optimizer": ("optimizer",),
    "precision": ("train", "precision"),
    "schedule": ("schedule",),
    "seed": ("seed",),
    "source": ("data", "source"),
    "validation": ("data", "validation"),
    "weights": ("transfer", "weights"),
    "weight_decay": ("optimizer", "weight_decay"),
}
SHORT: dict[Path, str] = {  # where a word stands for a mapping with this key
    **{(section,): "name" for section in NAMED},
    ("train", "on_nonfinite"): "action",
}
PAIRS = {("data", "image_size")}  # where one number stands for two equal ones
WHOLE = {("data", "augment")}  # a mapping here replaces the one below it instead of joining it


@dataclass
class Merged:
    """All layers so far; ``inherited`` are the paths that came from a preset or base."""

    values: dict[str, Any] = field(default_factory=dict)
    places: dict[Path, str] = field(default_factory=dict)
    inherited: set[Path] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)
    mistakes: list[Mistake] = field(default_factory=list)
    unread: bool = False  # whether a source could not be read, so that values may be missing


def lay(merged: Merged, layer: Layer, *, inherited: bool = False) -> None:
    """Lay ``layer`` over ``merged``."""
    for key, written in layer.values.items():
        value = written
        if key in NAMED:
            if isinstance(written, str):  # `loss: mse` is short for `loss: {name: mse}`
                layer.places[key, "name"] = layer.places.get((key,), "")
                value = {"name": written}
            if isinstance(value, dict):
                value = with_architecture(key, value, layer.places)
                rename(merged, key, value)
        join(merged, (key,), value, layer.places, inherited=inherited)


def with_architecture(
    section: str, value: dict[str, Any], places: dict[Path, str]
) -> dict[str, Any]:
    """Return a section in which `name: torchvision/resnet50` is a name and an architecture."""
    library, slash, architecture = str(value.get("name", "")).partition("/")
    if section != "model" or not slash or library not in NAMED[section]:
        return value
    places[section, "architecture"] = places.get((section, "name"), "")
    return value | {"name": library, "architecture": architecture}


def join(
    merged: Merged, path: Path, value: Any, places: Mapping[Path, str], *, inherited: bool
) -> None:
    """Put a value in its place; a mapping joins the one below it."""
    if isinstance(value, str) and path in SHORT:
        value = {SHORT[path]: value}
    if path in PAIRS and isinstance(value, int):
        value = (value, value)
    parent = merged.values
    for key in path[:-1]:
        parent = parent[key]
    below = parent.get(path[-1])
    if path in places:
        merged.places[path] = places[path]
    merged.inherited.discard(path)
    if inherited:
        merged.inherited.add(path)
    if not isinstance(value, dict):
        parent[path[-1]] = value
        return
    sparse = all((*path, key) in places for key in value) and path not in places
    if below is not None and not isinstance(below, dict) and sparse:
        message = f"is `{below}` here, which has no `{next(iter(value))}`"
        merged.mistakes.append(Mistake(".".join(path), message, places[(*path, next(iter(value)))]))
        return
    if not isinstance(below, dict) or (path in WHOLE and not sparse):
        parent[path[-1]] = {}
    for key, inner in value.items():
        join(merged, (*path, key), inner, places, inherited=inherited)


def rename(merged: Merged, section: str, over: Mapping[str, Any]) -> None:
    """Drop inherited options that the new name does not have, and say so."""
    below = merged.values.get(section)
    name = str(over.get("name"))
    known = NAMED[section]
    if not isinstance(below, dict) or name not in known or below.get("name") in (None, name):
        return
    options = options_of(known[name])
    for key in [key for key in below if key != "name" and key not in over]:
        path = (section, key)
        if path not in merged.inherited:
            continue
        place = merged.places.get(path, "the preset")
        if key not in options:
            del below[key]
            merged.notes.append(f"{name} has no {section}.{key}; the one of {place} is dropped")
        elif not fits(options[key], key, below[key]):
            merged.notes.append(
                f"{section}.{key}={plain(below[key])} of {place} does not fit {name} and is dropped"
            )
            del below[key]
        elif path == ("optimizer", "learning_rate"):
            default = inspect.signature(known[name]).parameters[key].default
            merged.notes.append(
                f"optimizer.learning_rate={below[key]:g} was chosen for {below['name']}; "
                f"{name} usually takes {default:g}"
            )


def fits(option: Any, key: str, value: Any) -> bool:
    """Return whether a value is valid for an option of another name."""
    holder = create_model("holder", __base__=Frozen, **{key: option})
    try:
        TypeAdapter(holder).validate_python({key: value})
    except ValidationError:
        return False
    return True


def plain(value: Any) -> Any:
    """Return a value as it is written in a recipe."""
    return list(value) if isinstance(value, tuple) else value


def options_layer(
    given: Mapping[str, Any], table: Mapping[str, Path], shown: str, mistakes: list[Mistake]
) -> Layer:
    """Return the layer of options by their short names; ``shown`` is how one is written."""
    layer = Layer({})
    for name, value in given.items():
        place = shown.format(name)
        if name not in table:
            path = FLAGS.get(name, KEYWORDS.get(name))  # the other way of saying it
            meant = next((key for key in table if table[key] == path), name)
            hint = did_you_mean(meant, table).strip(" ()") or f"known: {', '.join(table)}"
            mistakes.append(Mistake(name, "is not known", place, hint))
        elif value is not None:
            put(layer, table[name], tuples(value), place, mistakes)
    return layer


def sets_layer(sets: Sequence[str], mistakes: list[Mistake]) -> Layer:
    """Return the layer of ``path=value`` texts; a later one wins."""
    from convsmith.errors import RecipeError

    layer = Layer({})
    for text in sets:
        path, equals, value = text.partition("=")
        place = f"--set {text}"
        keys = tuple(path.strip().split("."))
        if not equals or not all(keys):
            mistakes.append(Mistake(text, "must be written path=value", "--set"))
            continue
        try:
            put(layer, keys, parse_value(value, place), place, mistakes)
        except RecipeError as error:
            mistakes += error.mistakes
    return layer


def put(layer: Layer, path: Path, value: Any, place: str, mistakes: list[Mistake]) -> None:
    """Set one value in a layer, making the sections on the way."""
    if isinstance(value, str) and path in SHORT:
        path = (*path, SHORT[path])
    parent = layer.values
    for depth, key in enumerate(path[:-1], 1):
        inner = parent.setdefault(key, {})
        if not isinstance(inner, dict):
            here = ".".join(path[:depth])
            mistakes.append(Mistake(".".join(path), f"{here} is set to a value too", place))
            return
        parent = inner
    parent[path[-1]] = value
    note_places(layer, path, value, place)


def note_places(layer: Layer, path: Path, value: Any, place: str) -> None:
    """Remember where a value, and all inside it, came from."""
    layer.places[path] = place
    if isinstance(value, dict):
        for key, inner in value.items():
            note_places(layer, (*path, key), inner, place)


def tuples(value: Any) -> Any:
    """Return a value with lists as tuples and mappings as dictionaries."""
    if isinstance(value, list | tuple):
        return tuple(tuples(each) for each in value)
    if isinstance(value, Mapping):
        return {str(key): tuples(inner) for key, inner in value.items()}
    return value
