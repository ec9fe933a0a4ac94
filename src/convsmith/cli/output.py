"""What commands print besides their progress: one line of JSON, or a plain table."""

import dataclasses
import json
import math
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["plain", "print_json", "say", "table"]


def say(text: str) -> None:
    """Print a line on standard error: what is going on, not what was asked for."""
    print(text, file=sys.stderr, flush=True)


def print_json(value: Any) -> None:
    """Print a result, a mapping or a dataclass, as one line: the last of standard output."""
    print(json.dumps(plain(value), allow_nan=False))


def plain(value: Any) -> Any:
    """Return ``value`` as JSON has it: paths as text, NaN and infinity as null."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = dataclasses.fields(value)
        return {field.name: plain(getattr(value, field.name)) for field in fields}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, Sequence):
        return [plain(item) for item in value]
    raise TypeError(f"{type(value).__name__} has no form in JSON")


def table(rows: Sequence[Sequence[str]], gap: str = "  ") -> str:
    """Return rows of text in columns, each as wide as its widest entry."""
    if not rows:
        return ""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        gap.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )
