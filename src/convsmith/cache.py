"""Where what can be made again is kept: stores of decoded images, measured precisions."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["cache_folder", "read_cache", "write_cache"]


def cache_folder() -> Path:
    """Return the user's cache folder for convsmith: below ``XDG_CACHE_HOME``, else ``~/.cache``."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "convsmith"


def read_cache(path: Path) -> dict[str, dict[str, Any]]:
    """Return what was measured before; a missing or broken file is nothing."""
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def write_cache(path: Path, known: Mapping[str, object]) -> None:
    """Write the cache whole; a folder that cannot be written only costs the next measurement."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(json.dumps(known, indent=1), encoding="utf-8")
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
