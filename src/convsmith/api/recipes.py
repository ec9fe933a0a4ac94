"""The presets that come with the package."""

from convsmith.recipe.presets import Preset, presets

__all__ = ["Preset", "recipes"]


def recipes() -> tuple[Preset, ...]:
    """Return every preset: its name, what it is for and what it reached when it was measured."""
    return presets()
