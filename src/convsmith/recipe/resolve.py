"""Turning ``auto`` and levels in a recipe into what they mean here, before step 0."""

from collections.abc import Callable
from dataclasses import asdict

import torch
from torch import nn

from convsmith.data.images import Source
from convsmith.recipe.build import Parts, augmentation
from convsmith.recipe.schema import Recipe
from convsmith.training.precision_auto import measure

__all__ = ["resolve"]


def resolve(
    recipe: Recipe,
    source: Source,
    parts: Parts,
    device: torch.device,
    make_model: Callable[[], nn.Module],
) -> tuple[Recipe, tuple[str, ...]]:
    """Return the recipe with nothing left to decide, and what was decided, in words."""
    train = recipe.train
    micro = min(train.batch_size // train.accumulate, len(parts.train))
    batch = parts.train.select(torch.arange(micro))
    choice = measure(
        make_model,
        (parts.normalise(batch.pixels), batch.labels),
        device,
        precision=train.precision,
        memory_format=train.memory_format,
        key=f"{recipe.model.name} {recipe.model.options}",
    )
    notes = []
    if choice.seconds:
        others = ", ".join(f"{name} {1e3 * s:.3g} ms" for name, s in choice.seconds.items())
        known = " (measured before)" if choice.cached else ""
        notes.append(
            f"precision {choice.precision}, {choice.memory_format}{known}: {others} a step"
        )
    operations = {
        key: value for key, value in asdict(augmentation(recipe, source)).items() if value
    }
    values = recipe.model_dump()
    values["data"]["source"] = source.name
    values["data"]["augment"] = operations or "none"
    values["train"] |= {
        "precision": choice.precision,
        "memory_format": choice.memory_format,
        "device": str(device),
    }
    return Recipe.model_validate(values), tuple(notes)
