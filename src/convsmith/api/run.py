"""A run as Python sees it: its recipe, metrics and results, read when asked for."""

import os
from pathlib import Path
from typing import Any

from torch import nn

from convsmith.errors import RecipeError, UserError
from convsmith.recipe.load import load_recipe
from convsmith.recipe.schema import Recipe
from convsmith.runs.folder import RunFolder, find_runs_folder
from convsmith.runs.journal import read_metrics
from convsmith.runs.results import Results

__all__ = ["Run", "open_run", "require_own_model"]


class Run:
    """One run folder. Final; nothing is kept in memory, so it is always what the files say."""

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r})"

    @property
    def path(self) -> Path:
        """Return the run's folder."""
        return self.folder.path

    @property
    def recipe(self) -> Recipe:
        """Return the resolved recipe.

        Raises:
            DamagedError: it is missing or altered.
        """
        try:
            return load_recipe(self.folder.recipe).recipe
        except RecipeError as error:
            how = str(error.mistakes[0]).removeprefix(f"{self.folder.recipe}")
            raise self.folder.damaged(
                self.folder.recipe, f"is damaged: {how.strip(': ')}"
            ) from error

    @property
    def environment(self) -> dict[str, Any]:
        """Return versions, processor, threads and when and how the run was started."""
        path = self.folder.environment
        found = self.folder.read_as(path, dict[str, Any])
        exact = found.get("exact")
        if not isinstance(exact, dict) or type(exact.get("threads")) is not int:
            raise self.folder.damaged(path, "does not say what the run depended on")
        return found

    @property
    def metrics(self) -> list[dict[str, Any]]:
        """Return the logged events, oldest first: ``step``, ``epoch`` and ``rollback``."""
        return read_metrics(self.folder.metrics)

    @property
    def finished(self) -> bool:
        """Return whether the run has results."""
        return self.folder.finished

    @property
    def results(self) -> Results:
        """Return the results.

        Raises:
            RunError: the run has not finished.
            DamagedError: its results are damaged.
        """
        return self.folder.read_as(self.folder.results, Results)


def open_run(path: str | os.PathLike[str], runs: str | os.PathLike[str] | None = None) -> Run:
    """Open the run at ``path``, or of that name in the runs folder."""
    if not isinstance(path, str | os.PathLike):
        raise UserError(f"run must be a path or a name, not a {type(path).__name__}")
    return Run(RunFolder.open(path, find_runs_folder(runs)))


def require_own_model(run: Run, model: nn.Module | None) -> None:
    """Raise UserError if the run trained a network of the user's own and it is not given."""
    if model is None and run.environment.get("own_model"):
        raise UserError(f"{run.path} trained a network of your own: pass it as `model=`")
