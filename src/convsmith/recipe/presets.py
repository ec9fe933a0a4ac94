"""The recipes that come with the package. Importing this does not import PyTorch."""

import re
from dataclasses import dataclass
from pathlib import Path

from convsmith.errors import Mistake, RecipeError, nearest

__all__ = ["HEADER", "Preset", "preset_path", "presets"]

FOLDER = Path(__file__).parent.parent / "recipes"
HEADER = ("about", "reached")  # keys of a file that describe it and set nothing


@dataclass(frozen=True)
class Preset:
    """A recipe that comes with the package, and what it reached when it was measured."""

    name: str
    about: str
    reached: str | None


def presets() -> tuple[Preset, ...]:
    """Return all presets in the order of their names."""
    return tuple(read_header(path) for path in sorted(FOLDER.glob("*.yaml")))


def read_header(path: Path) -> Preset:
    """Read a preset's two describing lines."""
    text = path.read_text(encoding="utf-8")
    found = dict(re.findall(r"^(about|reached): (.*)$", text, re.MULTILINE))
    return Preset(path.stem, found["about"], found.get("reached"))


def preset_path(name: str) -> Path:
    """Return a preset's file.

    Raises:
        RecipeError: there is no preset of that name.
    """
    names = [path.stem for path in sorted(FOLDER.glob("*.yaml"))]
    if name not in names:
        near = nearest(name, names)
        meant = f"did you mean `{near}`? " if near else ""
        hint = f"{meant}presets: {', '.join(names)}; a recipe file's name ends in .yaml"
        raise RecipeError([Mistake(name, "there is no such preset or file", hint=hint)])
    return FOLDER / f"{name}.yaml"
