"""A person's own network and data, given in Python, where otherwise names stand."""

from dataclasses import dataclass
from typing import Self

from torch import nn

from convsmith.data.images import Source
from convsmith.errors import UserError

__all__ = ["Own"]


@dataclass(frozen=True)
class Own:
    """A user's own network and data, which no recipe can describe."""

    model: nn.Module | None
    data: Source | None

    @classmethod
    def among(cls, model: object, data: object) -> Self:
        """Return what is a user's own of a network and data that may also be named.

        Raises:
            UserError: one of them is of another kind.
        """
        if not isinstance(model, str | nn.Module | None):
            raise UserError(f"model must be a network or its name, not a {type(model).__name__}")
        if not isinstance(data, str | Source | None):
            kind = type(data).__name__
            raise UserError(f"data must be a name or what convsmith.own_source makes, not a {kind}")
        return cls(
            model if isinstance(model, nn.Module) else None,
            data if isinstance(data, Source) else None,
        )
