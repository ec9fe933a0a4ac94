"""What is known of a run at a glance: its state, recipe, results and surroundings."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from convsmith.errors import ConvsmithError, RunError
from convsmith.reporting.history import mapping, whole
from convsmith.reporting.numbers import MISSING
from convsmith.runs.folder import RunFolder
from convsmith.runs.results import Results

__all__ = ["Overview", "State", "flatten", "plain_text", "read_overview"]

State = Literal["finished", "running", "stopped", "damaged"]


@dataclass(frozen=True)
class Overview:
    """One run. ``problems`` are sentences about files that could not be read."""

    name: str
    path: Path
    state: State
    data: str
    network: str
    planned: int | None  # epochs
    results: Results | None
    recipe: Mapping[str, Any]
    recipe_text: str
    environment: Mapping[str, Any]
    classes: int | None
    own_network: bool
    own_data: bool
    problems: tuple[str, ...]

    @property
    def started(self) -> str | None:
        """Return when the run began, in ISO form."""
        moment = self.environment.get("started")
        return moment if isinstance(moment, str) else None

    @property
    def command(self) -> str | None:
        """Return what was typed, if it was typed."""
        command = self.environment.get("command")
        return command if isinstance(command, str) and command else None

    @property
    def ranked(self) -> bool:
        """Return whether top-5 says anything: it is always 1 with five classes or fewer."""
        return self.classes is None or self.classes > 5


class Loader(yaml.SafeLoader):
    """Reads plain values only: recipes have no aliases, and nested ones grow without bounds."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Refuse an alias."""
        if self.check_event(yaml.events.AliasEvent):
            raise yaml.YAMLError("recipes have no aliases")
        return super().compose_node(parent, index)


def read_overview(run: RunFolder) -> Overview:
    """Read a run's small files; those that are damaged become problems."""
    problems: list[str] = []
    recipe_text, recipe = read_recipe(run, problems)
    environment = read_json(run, run.environment, problems)
    results = read_results(run, problems)
    card = read_json(run, run.model, problems) if run.model.exists() else {}
    if results is not None:
        state: State = "finished"
    elif run.finished:
        state = "damaged"
    else:
        state = "running" if in_use(run) else "stopped"
    names = card.get("classes")
    return Overview(
        name=run.path.resolve().name,
        path=run.path,
        state=state,
        data=plain_text(mapping(recipe.get("data")).get("source", MISSING)),
        network=plain_text(mapping(recipe.get("model")).get("name", MISSING)),
        planned=whole(mapping(recipe.get("train")).get("epochs")),
        results=results,
        recipe=recipe,
        recipe_text=recipe_text,
        environment=environment,
        classes=len(names) if isinstance(names, list) else None,
        own_network="name" in card and card["name"] is None,
        own_data=mapping(recipe.get("data")).get("source") == "own",
        problems=tuple(problems),
    )


def read_recipe(run: RunFolder, problems: list[str]) -> tuple[str, Mapping[str, Any]]:
    """Return the recipe as it is written and as values."""
    try:
        text = run.recipe.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        problems.append(unreadable(run.recipe, error))
        return "", {}
    try:
        # A safe loader that knows fewer words, not more.
        recipe = yaml.load(text, Loader)
    except (yaml.YAMLError, ValueError, RecursionError):
        recipe = None
    if not isinstance(recipe, dict):
        problems.append(f"{run.recipe.name} is damaged: it is not a recipe.")
        return text, {}
    return text, recipe


def read_json(run: RunFolder, path: Path, problems: list[str]) -> Mapping[str, Any]:
    """Return a JSON object; an empty one where there is none."""
    try:
        found = json.loads(path.read_bytes())
    except OSError as error:
        problems.append(unreadable(path, error))
        return {}
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        problems.append(f"{path.name} is damaged: it is not a JSON object.")
        return {}
    return found


def read_results(run: RunFolder, problems: list[str]) -> Results | None:
    """Return the results of a finished run."""
    if not run.finished:
        return None
    try:
        return run.read_as(run.results, Results)
    except ConvsmithError as error:
        problems.append(f"{run.results.name} is damaged: {str(error).partition(': ')[2]}.")
        return None


def unreadable(path: Path, error: Exception) -> str:
    """Return the sentence about a file that the system did not give, or not as text."""
    if isinstance(error, FileNotFoundError):
        return f"{path.name} is missing."
    reason = error.strerror if isinstance(error, OSError) else "it is not text"
    return f"{path.name} cannot be read: {reason}."


def in_use(run: RunFolder) -> bool:
    """Return whether a process trains this run at the moment."""
    if not (run.path / "run.lock").exists():  # looking makes no files
        return False
    try:
        with run.locked():
            return False
    except RunError:
        return True
    except OSError:
        return False


def flatten(values: Mapping[str, Any], above: str = "") -> dict[str, str]:
    """Return nested values as text by dotted path: ``train.epochs``."""
    flat: dict[str, str] = {}
    for key, value in values.items():
        if isinstance(value, dict) and value:
            flat |= flatten(value, f"{above}{key}.")
        else:
            flat[f"{above}{key}"] = plain_text(value)
    return flat


def plain_text(value: object) -> str:
    """Return a recipe's value as people write it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return f"[{', '.join(map(plain_text, value))}]"
    return str(value)
