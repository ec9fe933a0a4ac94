"""Train a changed network on for a while, as its run trained it: the same data and augmentation."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from convsmith.data.images import Source
from convsmith.recipe.build import LAYOUTS, Parts, build_job
from convsmith.recipe.load import load_recipe
from convsmith.recipe.schema import Recipe
from convsmith.training.fit import EpochEnd, Step, fit
from convsmith.training.job import State

__all__ = ["Training", "fine_tune"]

SAY_EVERY = 50  # steps
QAT_RATE, PRUNE_SHARE = 1e-5, 0.1  # learning rates; the second is a share of the recipe's own


@dataclass(frozen=True)
class Training:
    """How ``qat`` and ``prune`` train a network on, as its run trained it."""

    recipe: Recipe
    parts: Parts
    epochs: float
    learning_rate: float | None
    say: Callable[[str], None]

    def __call__(self, network: nn.Module, kind: str) -> None:
        """Train it in place."""
        if kind == "qat":
            optimizer: Mapping[str, Any] = {"name": "adamw", "weight_decay": 0.0}
            rate = QAT_RATE
        else:
            optimizer = self.recipe.optimizer.model_dump(mode="json")
            rate = PRUNE_SHARE * optimizer["learning_rate"]
        chosen = {"learning_rate": self.learning_rate or rate}
        fine_tune(
            network,
            self.recipe,
            self.parts,
            {**optimizer, **chosen},
            epochs=self.epochs,
            what=kind,
            say=self.say,
        )


def fine_tune(
    network: nn.Module,
    recipe: Recipe,
    parts: Parts,
    optimizer: Mapping[str, Any],
    *,
    epochs: float,
    what: str,
    say: Callable[[str], None],
) -> None:
    """Train ``network`` in place, by a rate that falls to nothing along half a cosine.

    Args:
        network: on the CPU; its weights change.
        recipe: of the run that it comes from.
        parts: of that run's data.
        optimizer: as a recipe has it.
        epochs: passes over the training images; a part of one will do.
        what: what is trained, in words.
        say: told how far it is.
    """
    steps = max(1, round(epochs * len(parts.train) / recipe.train.batch_size))
    shorter = shortened(recipe, optimizer, math.ceil(epochs), steps)
    source = Source(recipe.data.source, parts.classes, parts.train, parts.test, mirrored=False)
    job = build_job(shorter, parts, source, torch.device("cpu"), network)
    job = replace(job, ema=None, phases=None)
    for event in fit(job, State.new(job)):
        if isinstance(event, Step) and event.step % SAY_EVERY == 0:
            say(f"{what}: step {event.step} of {job.total_steps}, loss {float(event.loss):.4f}")
        elif isinstance(event, EpochEnd):
            say(f"{what}: epoch {event.epoch}, loss {event.loss:.4f}, top-1 {event.top1:.2%}")
    network.to(memory_format=LAYOUTS["contiguous"])
    for module in network.modules():
        module.training = False


def shortened(recipe: Recipe, optimizer: Mapping[str, Any], epochs: int, steps: int) -> Recipe:
    """Return a run's recipe for a short training of what is trained already."""
    values = recipe.model_dump(mode="json")
    values["optimizer"] = dict(optimizer)
    values["schedule"] = {"name": "cosine"}
    values["train"] |= {
        "epochs": epochs,
        "max_steps": steps,
        "device": "cpu",
        "ema": None,
        "early_stopping": None,
        "keep": "last",
        "gradient_checkpointing": "none",
    }
    if recipe.train.device != "cpu":  # what was chosen for a GPU may be slow here
        values["train"]["precision"] = "fp32"
    values["budget"] = {}
    values["transfer"] = {}
    return load_recipe(values).recipe
