"""Turning ``auto`` and levels in a recipe into what they mean here, before step 0."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import torch
from torch import nn

from convsmith.data import FILES
from convsmith.data.images import Source
from convsmith.recipe.build import Parts, augmentation
from convsmith.recipe.schema import Recipe
from convsmith.training.memory import out_of_memory
from convsmith.training.precision_auto import Choice, measure

__all__ = ["resolve"]


def resolve(
    recipe: Recipe,
    source: Source,
    parts: Parts,
    device: torch.device,
    make_model: Callable[[], nn.Module],
    free_memory: int | None,
    *,
    own_model: bool,
) -> tuple[Recipe, tuple[str, ...]]:
    """Return the recipe with nothing left to decide, and what was decided, in words.

    A network of the user's own (``own_model``) may change without a name: it is measured each time.
    """
    choice = fastest(recipe, parts, device, make_model, own_model=own_model)
    notes = []
    if choice.seconds:
        others = ", ".join(f"{name} {1e3 * s:.3g} ms" for name, s in choice.seconds.items())
        known = " (measured before)" if choice.cached else ""
        notes.append(
            f"precision {choice.precision}, {choice.memory_format}{known}: {others} a step"
        )
    stream, words = streams(recipe, parts, free_memory)
    values = recipe.model_dump()
    values["data"] |= settled_data(recipe, source, parts)
    values["data"]["loading"]["stream"] = stream
    values["train"] |= {
        "precision": choice.precision,
        "memory_format": choice.memory_format,
        "device": str(device),
    }
    return Recipe.model_validate(values), (*notes, *words)


def fastest(
    recipe: Recipe,
    parts: Parts,
    device: torch.device,
    make_model: Callable[[], nn.Module],
    *,
    own_model: bool,
) -> Choice:
    """Return the precision and layout that are wanted, or the fastest of those that may be."""
    train = recipe.train
    images = min(train.batch_size // train.accumulate, len(parts.train))
    while True:
        try:
            pixels, labels = parts.train.take(torch.arange(images))
            return measure(
                make_model,
                (parts.normalise(pixels), labels),
                device,
                precision=train.precision,
                memory_format=train.memory_format,
                key=None if own_model else f"{recipe.model.name} {recipe.model.options}",
            )
        except (RuntimeError, MemoryError) as error:
            if images <= 2 or not out_of_memory(error):
                raise
        images //= 2  # which is fastest shows with fewer images too


def settled_data(recipe: Recipe, source: Source, parts: Parts) -> dict[str, object]:
    """Return the values of ``data`` as they turned out: names, sizes, normalisation, operations."""
    operations = {
        key: value for key, value in asdict(augmentation(recipe, source)).items() if value
    }
    settled: dict[str, object] = {
        "source": lasting(source.name),
        "augment": operations or "none",
        "levels": {},
    }
    if source.train.image_size == (1, 1):  # points have no size, and are measured anew
        return settled
    return settled | {
        "image_size": source.train.image_size,
        "channels": source.train.channels if source.train.channels in (1, 3) else None,
        "mean": parts.normalise.mean,
        "std": parts.normalise.std,
    }


def lasting(source: str) -> str:
    """Return a source's name as it is understood from any working folder."""
    kind, colon, path = source.partition(":")
    if kind not in FILES or not colon:
        return source
    return f"{kind}:{Path(path).expanduser().absolute()}"


def streams(recipe: Recipe, parts: Parts, free_memory: int | None) -> tuple[str, list[str]]:
    """Return whether batches are read ahead from the disk, and why, in words."""
    chosen = recipe.data.loading
    needed = parts.train.nbytes + parts.test.nbytes
    needed += 0 if parts.validation is None else parts.validation.nbytes
    if chosen.stream != "auto" or free_memory is None:
        return "yes" if chosen.stream == "yes" else "no", []
    room = chosen.memory_share * free_memory
    if needed <= room:
        return "no", []
    reason = (
        f"the images take {needed / 2**30:.1f} GiB, more than {chosen.memory_share:.0%} of the "
        f"{free_memory / 2**30:.1f} GiB that are free: batches are read from the disk"
    )
    return "yes", [reason]
