"""What a run says of itself: what it trains, how it was begun, and what its numbers depend on."""

import os
import shlex
import sys
from pathlib import Path
from typing import Any

import torch
from torch import nn

from convsmith.api.run import open_run
from convsmith.data.images import Source
from convsmith.models.pretrained import LIBRARIES
from convsmith.recipe.build import Parts
from convsmith.recipe.schema import Recipe
from convsmith.recipe.write import to_yaml
from convsmith.runs.environment import describe
from convsmith.runs.model_card import ModelCard

__all__ = ["card", "command_line", "described", "headline", "lasting_path"]

PathLike = str | os.PathLike[str]


def headline(
    recipe: Recipe, parts: Parts, source: Source, model: nn.Module, own_model: nn.Module | None
) -> str:
    """Return what is trained on what, in one line."""
    network = recipe.model.name if own_model is None else type(model).__name__
    weights = sum(parameter.numel() for parameter in model.parameters())
    epochs = "1 epoch" if recipe.train.epochs == 1 else f"{recipe.train.epochs} epochs"
    return (
        f"{network} ({weights:,} parameters) on {source.name}: {len(parts.train):,} images for "
        f"training, {len(parts.classes)} classes; {epochs}, batch {recipe.train.batch_size}, "
        f"{recipe.train.precision}"
    )


def described(
    recipe: Recipe, parts: Parts, device: torch.device, own_model: nn.Module | None
) -> dict[str, Any]:
    """Return what the exact numbers of a run depend on, as it is now."""
    name = recipe.model.name
    library = name if own_model is None and name in LIBRARIES else None
    return describe(device, parts.digest(), to_yaml(recipe), library)


def lasting_path(run: PathLike, runs: PathLike | None) -> str:
    """Return where a run lies, as it is understood from any working folder."""
    return str(open_run(run, runs).path.absolute())


def command_line() -> str | None:
    """Return what was typed, if it was convsmith's own command."""
    program = Path(sys.argv[0])
    own = program.stem == "convsmith" or (program.parent.name, program.name) == (
        "convsmith",
        "__main__.py",
    )
    return shlex.join(["convsmith", *sys.argv[1:]]) if own else None


def card(recipe: Recipe, parts: Parts, own_model: nn.Module | None) -> ModelCard:
    """Return what the trained network needs to be used."""
    return ModelCard(
        name=recipe.model.name if own_model is None else None,
        options=dict(recipe.model.options) if own_model is None else {},
        classes=parts.classes,
        channels=parts.train.channels,
        image_size=parts.train.image_size,
        mean=parts.normalise.mean,
        std=parts.normalise.std,
        scale=parts.normalise.scale,
        resize=recipe.data.resize,
    )
