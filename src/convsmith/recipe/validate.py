"""From values to a recipe, or to every mistake in them at once."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from types import UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from convsmith.data.augment import LEVELS
from convsmith.errors import Mistake, RecipeError, nearest
from convsmith.recipe import checks
from convsmith.recipe.checks import KNOWN_SOURCES
from convsmith.recipe.layers import FLAGS, KEYWORDS, NAMED, PAIRS, Merged
from convsmith.recipe.reader import Path
from convsmith.recipe.schema import Recipe
from convsmith.recipe.sections import Section
from convsmith.recipe.words import choose, shown

__all__ = ["validate"]


def validate(merged: Merged) -> Recipe:
    """Return the recipe.

    Raises:
        RecipeError: with all mistakes, in the order of their places.
    """
    mistakes = list(merged.mistakes)
    parts: dict[str, Any] = {}
    for key in merged.values.keys() - Recipe.model_fields.keys():
        mistakes.append(unknown((key,), Recipe.model_fields, merged))
    for key, field in Recipe.model_fields.items():
        if key not in merged.values and field.is_required():
            if merged.unread:  # it may stand in what could not be read
                continue
            mistakes.append(Mistake(key, "is missing", hint=example(key)))
            continue
        value = merged.values[key] if key in merged.values else field.get_default()
        annotation: Any = field.annotation
        if field.metadata or field.discriminator:
            annotation = Recipe.__annotations__[key]
        try:
            parts[key] = TypeAdapter(annotation).validate_python(value)
        except ValidationError as error:
            mistakes += section_mistakes(key, error, merged)
    mistakes += cross_checks(parts, merged)
    if mistakes:
        raise RecipeError(sorted(mistakes, key=order))
    return Recipe.model_validate(merged.values)


def order(mistake: Mistake) -> tuple[str, int, str]:
    """Sort by file, then line, then path."""
    name, _, line = (mistake.where or "").rpartition(":")
    return (name, int(line), "") if line.isdigit() else (mistake.where or "~", 0, mistake.path)


def example(section: str) -> str:
    """Return how a missing section is written."""
    return {"data": "for example data: {source: digits}", "model": "for example model: mlp"}.get(
        section, ""
    )


def section_mistakes(section: str, error: ValidationError, merged: Merged) -> Iterable[Mistake]:
    """Return the mistakes of one section; under an unknown name, its neighbours' too."""
    for detail in error.errors():
        if detail["type"] in ("union_tag_invalid", "union_tag_not_found"):
            yield from wrong_name(section, merged)
        else:
            yield from translate(section, detail, merged)


def wrong_name(section: str, merged: Merged) -> Iterable[Mistake]:
    """Report a name that does not exist, and check its neighbours as if the nearest were meant."""
    values, known = merged.values[section], NAMED[section]
    name = values.get("name") if isinstance(values, dict) else None
    path = (section, "name")
    if name is None and merged.unread:
        pass
    elif name is None:
        yield Mistake(
            f"{section}.name", "is missing", merged.places.get((section,)), choose("", known)
        )
    else:
        yield Mistake(
            f"{section}.name",
            f"{shown(name)} is not known",
            place(path, merged),
            choose(str(name), known),
        )
    near = nearest(str(name), known)
    others = [near] if near else list(known)
    allowed = {key for each in others for key in variant_of(section, each).model_fields}
    for key in values.keys() - allowed - {"name"}:
        yield unknown((section, key), sorted(allowed), merged)
    for key in values:
        if key in allowed - {"name"}:
            takers = [each for each in others if key in variant_of(section, each).model_fields]
            yield from wrong_value(section, key, takers, merged)


def wrong_value(section: str, key: str, names: list[str], merged: Merged) -> list[Mistake]:
    """Return what is wrong with an option; nothing if one of ``names`` would take it."""
    found: list[Mistake] = []
    for name in names:
        alone = {"name": name, key: merged.values[section][key]}
        meant = replace(merged, values=merged.values | {section: alone})
        try:
            variant_of(section, name).model_validate(alone)
        except ValidationError as error:
            found = [
                mistake
                for detail in error.errors()
                if key in detail["loc"]
                for mistake in translate(section, detail, meant)
            ]
        else:
            found = []
        if not found:
            break
    return found


def variant_of(section: str, name: str) -> type[Section]:
    """Return the class of a named section."""
    union = get_args(Recipe.__annotations__[section])[0]
    classes: tuple[type[Section], ...] = get_args(union)
    return dict(zip(NAMED[section], classes, strict=True))[name]


def translate(section: str, detail: ErrorDetails, merged: Merged) -> Iterable[Mistake]:
    """Turn one of pydantic's errors into a mistake in the words of recipes."""
    found = [str(each) for each in detail["loc"]]
    if section in NAMED and found and found[0] in NAMED[section]:
        found = found[1:]
    path: Path = (section, *found)
    kind, value = detail["type"], detail["input"]
    if section == "data" and found[:1] == ["augment"]:
        given = merged.values["data"]["augment"]
        if found[1:2] != ["augment" if isinstance(given, dict) else "str"]:
            return
        path = ("data", "augment", *found[2:])
        if not isinstance(given, dict):
            message = f"must be a level or a mapping of operations, got {shown(given)}"
            yield Mistake("data.augment", message, place(path, merged), choose("", LEVELS))
            return
    if kind == "extra_forbidden":
        yield unknown(path, siblings(path, merged), merged)
    elif kind == "missing" and path[-1].isdigit():  # of a list with a fixed number of entries
        if path[-1] == str(len(value)):
            wanted = entries(section, path, merged)
            message = f"must have {wanted} entries, got {len(value)}"
            yield Mistake(".".join(path[:-1]), message, place(path[:-1], merged))
    elif kind == "missing" and not merged.unread:
        hint = choose("", KNOWN_SOURCES) if path == ("data", "source") else None
        yield Mistake(".".join(path), "is missing", place(path[:-1], merged), hint)
    elif kind != "missing":
        message, hint = words(detail, value)
        if path in PAIRS:
            message = message.replace("a list", "a whole number or [height, width]")
        if len(path) == 1 and "mapping" in message:
            hint = example(section)
        yield Mistake(".".join(path), message, place(path, merged), hint)


def entries(section: str, path: Path, merged: Merged) -> int:
    """Return how many entries the list around ``path`` must have."""
    if section in NAMED:
        model = variant_of(section, merged.values[section]["name"])
    else:
        model = next(models_in(Recipe.model_fields[section].annotation))
    annotation = model.model_fields[path[1]].annotation
    kinds = (annotation, *get_args(annotation))  # perhaps one of several, such as with None
    return next(len(get_args(kind)) for kind in kinds if get_origin(kind) is tuple)


def words(detail: ErrorDetails, value: object) -> tuple[str, str | None]:
    """Return what is wrong with a value, and how to mend it."""
    kind, context = detail["type"], detail.get("ctx", {})
    limits = {
        "greater_than": ("must be greater than", "gt"),
        "greater_than_equal": ("must be at least", "ge"),
        "less_than": ("must be less than", "lt"),
        "less_than_equal": ("must be at most", "le"),
    }
    kinds = {
        "int_type": "must be a whole number",
        "float_type": "must be a number",
        "bool_type": "must be true or false",
        "string_type": "must be a word",
        "tuple_type": "must be a list",
        "finite_number": "must be a finite number",
        "model_type": "must be a mapping",
        "model_attributes_type": "must be a mapping",
        "dict_type": "must be a mapping",
    }
    if kind in limits:
        text, key = limits[kind]
        limit = context[key]
        return (
            f"{text} {limit if isinstance(limit, int) else f'{limit:g}'}, got {shown(value)}",
            None,
        )
    if kind == "literal_error":
        allowed = [
            each.strip("'") for each in context["expected"].replace(" or ", ", ").split(", ")
        ]
        return f"{shown(value)} is not allowed", choose(str(value), allowed)
    if kind == "memory":
        return str(detail["msg"]), None
    if kind in kinds:
        return f"{kinds[kind]}, got {shown(value)}", None
    if kind in ("too_long", "too_short"):
        wanted = context.get("max_length", context.get("min_length"))
        return f"must have {wanted} entries, got {context['actual_length']}", None
    return f"{detail['msg'][:1].lower()}{detail['msg'][1:]}, got {shown(value)}", None


def unknown(path: Path, known: Iterable[str], merged: Merged) -> Mistake:
    """Return the mistake of a key that does not exist."""
    elsewhere = KEYWORDS.get(path[-1]) or FLAGS.get(path[-1])
    hint = choose(path[-1], known)
    if elsewhere is not None and elsewhere[-1] not in known:
        hint = f"did you mean `{'.'.join(elsewhere)}`? {hint}"
    return Mistake(".".join(path), "is not known", place(path, merged), hint)


def siblings(path: Path, merged: Merged) -> Iterable[str]:
    """Return the keys that exist beside ``path``."""
    model: type[BaseModel] = Recipe
    keys = iter(enumerate(path[:-1]))
    for depth, key in keys:
        if depth == 0 and key in NAMED:
            model = variant_of(key, merged.values[key]["name"])
        else:
            annotation = model.model_fields[key].annotation
            if get_origin(annotation) is dict:  # its next key may be any
                annotation = get_args(annotation)[1]
                next(keys, None)
            inner = next(models_in(annotation), None)
            if inner is None:
                return ()
            model = inner
    return list(model.model_fields)


def models_in(annotation: Any) -> Iterator[Any]:
    """Yield the pydantic models in an annotation such as ``EarlyStop | None``."""
    if get_origin(annotation) in (Union, UnionType):
        for each in get_args(annotation):
            yield from models_in(each)
    elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation


def place(path: Path, merged: Merged) -> str | None:
    """Return where a value, or the nearest thing around it, was written."""
    inside = [each for each in merged.places if each[: len(path)] == path]
    if inside:
        return merged.places[min(inside, key=len)]
    for length in range(len(path) - 1, 0, -1):
        if path[:length] in merged.places:
            return merged.places[path[:length]]
    return None


def cross_checks(parts: Mapping[str, Any], merged: Merged) -> Iterable[Mistake]:
    """Return the mistakes that lie between values, of the sections that are valid in themselves."""
    for path, message, hint in checks.between(parts, merged.values):
        yield Mistake(path, message, place(tuple(path.split(".")), merged), hint)
