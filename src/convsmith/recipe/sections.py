"""Recipe sections derived from the signatures of what they name.

A network, loss, optimizer or schedule is a callable; its keyword-only parameters, with their types,
limits and defaults, are the options that a recipe may set. So adding one is one function and one
dictionary line, and nothing here.
"""

import inspect
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, Union, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, create_model

__all__ = ["Frozen", "Section", "named_section", "options_of"]


class Frozen(BaseModel):
    """A part of a recipe: frozen, no unknown keys, no silent conversion, no NaN."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, validate_default=True
    )


class Section(Frozen):
    """A part of a recipe that names one of several things and sets its options."""

    name: str

    @property
    def options(self) -> dict[str, Any]:
        """Return everything but the name, to be passed on as keyword arguments."""
        return {key: getattr(self, key) for key in type(self).model_fields if key != "name"}


def options_of(function: Callable[..., Any]) -> dict[str, Any]:
    """Return pydantic fields for the keyword-only parameters of a callable."""
    hints = get_type_hints(function, include_extras=True)
    return {
        parameter.name: (
            hints[parameter.name],
            ... if parameter.default is inspect.Parameter.empty else parameter.default,
        )
        for parameter in inspect.signature(function).parameters.values()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    }


def named_section(kind: str, functions: Mapping[str, Callable[..., Any]]) -> Any:
    """Return the type of a section that names one of ``functions``: a union, told apart by name."""
    variants = tuple(variant(kind, name, function) for name, function in functions.items())
    return Annotated[Union[variants], Field(discriminator="name")]  # noqa: UP007


def variant(kind: str, name: str, function: Callable[..., Any]) -> type[Section]:
    """Return the class of a section with one particular name."""
    title = f"{kind}:{name}"
    fields = {"name": (Literal[name], ...)} | options_of(function)
    doc = (inspect.getdoc(function) or "").split("\n", 1)[0]
    return create_model(title, __base__=Section, __doc__=doc, **fields)
