"""Say what a training takes before it is run: memory, time, and whether the design is sound."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from torch import nn

from convsmith.api.budget import free_memory
from convsmith.api.calibrate import this_machine
from convsmith.api.foresee import Asked, Choice, Plan, PlannedLayer, foresee
from convsmith.api.own import Own
from convsmith.api.run import Run
from convsmith.api.target import run_meant
from convsmith.data.facts import Facts, facts, facts_of
from convsmith.data.images import Source
from convsmith.errors import UserError
from convsmith.planning.devices import find_device
from convsmith.planning.machine import Machine, published
from convsmith.recipe.build import build_model
from convsmith.recipe.load import load_recipe
from convsmith.recipe.schema import Recipe
from convsmith.reporting.report import write_report
from convsmith.runs.folder import RunFolder, to_json, write_atomically
from convsmith.sizes import parse_memory
from convsmith.training.device import resolve_device

__all__ = ["Choice", "Plan", "PlannedLayer", "plan"]

PathLike = str | os.PathLike[str]
GPU_SPARE = 0.9  # of a card's memory; the rest is the driver's and the allocator's


def plan(
    recipe: str | Path | Mapping[str, object],
    *,
    device: str = "auto",
    memory: str | None = None,
    model: str | nn.Module | None = None,
    data: str | Source | None = None,
    runs: PathLike | None = None,
    flags: Mapping[str, object] | None = None,
    sets: Sequence[str] = (),
    say: Callable[[str], None] = lambda text: None,
    **keywords: object,
) -> Plan:
    """Return what the training of a recipe, or of a run's recipe, takes.

    Nothing is trained and the data is not read: the step is recorded on tensors without bytes. A
    run's plan for the device it is on is kept in its folder and shown in its page.

    Args:
        recipe: a preset's name, a recipe file, a mapping, or a run.
        device: ``auto``, ``cpu``, or a device that you need not have, such as ``t4``.
        memory: what training may take, such as ``6GB``; by default the recipe's budget, else what
            the device has.
        model: the name of a network, or a network of your own, which stays as it is.
        data: a data set's name, ``folder:PATH`` or ``csv:PATH``, or your own data, made by
            ``convsmith.own_source``.
        runs: the folder of runs.
        flags: what the command line's common options say, by option name.
        sets: ``path=value`` strings, as ``--set`` takes them.
        say: told what is being measured, the first time on a machine.
        keywords: any recipe value by its short name.

    Raises:
        RecipeError: the recipe has mistakes.
        UserError: there is no such run or recipe, device or size of memory.
    """
    own = Own.among(model, data)
    for keyword, named in (("model", model), ("source", data)):
        if isinstance(named, str):
            keywords[keyword] = named
    loaded, name, run = recipe_of(recipe, runs, flags or {}, sets, keywords)
    machine, on_gpu = machine_of(device, say)
    said = loaded.train.precision
    limit = limit_of(loaded.budget.memory if memory is None else memory)
    asked = asked_of(loaded, name, own)
    found = foresee(
        asked,
        machine,
        room_of(limit, machine, on_gpu=on_gpu),
        precision=machine.precision if said == "auto" else said,
        held=limit is not None and not on_gpu,
    )
    if run is not None and device == "auto":
        keep(found, run.folder)
    return found


def keep(found: Plan, run: RunFolder) -> None:
    """Write a plan into a run's folder, and the run's page anew."""
    write_atomically(run.plan, to_json(asdict(found)))
    write_report(run)


def asked_of(recipe: Recipe, name: str, own: Own) -> Asked:
    """Return what is asked for: the recipe, its network and what is known of its data."""
    known = known_of(recipe, own)
    if own.model is not None:
        return Asked(name, recipe, known, own.model, type(own.model).__name__)
    model = build_model(recipe, known.classes, known.channels, known.image_size)
    return Asked(name, recipe, known, model, recipe.model.name)


def known_of(recipe: Recipe, own: Own) -> Facts:
    """Return what is known of the data."""
    if own.data is not None:
        return facts_of(own.data)
    data = recipe.data
    return facts(data.source, data.image_size, data.channels)


def recipe_of(
    recipe: str | Path | Mapping[str, object],
    runs: PathLike | None,
    flags: Mapping[str, object],
    sets: Sequence[str],
    keywords: Mapping[str, object],
) -> tuple[Recipe, str, Run | None]:
    """Return the recipe that is meant, its name, and the run that it is of if it is a run's."""
    run = run_meant(recipe, runs)
    given = recipe if run is None else run.folder.recipe
    loaded = load_recipe(given, flags=flags, sets=sets, keywords=keywords).recipe
    if run is not None:
        return loaded, str(run.path), None if flags or sets or keywords else run
    return loaded, Path(recipe).stem if isinstance(recipe, str | Path) else "recipe", None


def machine_of(device: str, say: Callable[[str], None]) -> tuple[Machine, bool]:
    """Return the machine called ``device``, and whether it is a graphics processor."""
    if device in ("auto", "cpu") or device.startswith("cuda"):
        here = resolve_device(device)
        if here.type == "cpu":
            return this_machine(say), False
        device = torch.cuda.get_device_name(here)
    return published(find_device(device)), True


def limit_of(memory: str) -> int | float | None:
    """Return what :func:`parse_memory` does; a mistake says where it is."""
    try:
        return parse_memory(memory)
    except UserError as error:
        raise UserError(f"memory: {error}") from None


def room_of(said: int | float | None, machine: Machine, *, on_gpu: bool) -> int | None:
    """Return the bytes that training may take."""
    there = int(GPU_SPARE * machine.memory) if machine.memory else None
    if not on_gpu:
        there = free_memory(torch.device("cpu"))
    if isinstance(said, float):
        if there is None:
            raise UserError("this system does not say how much memory is free; give a size")
        return int(said * there)
    return there if said is None else said
