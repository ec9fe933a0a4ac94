"""The list of all runs in a folder."""

import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from convsmith.errors import ConvsmithError, RunError
from convsmith.reporting.history import read_history
from convsmith.reporting.overview import Overview, read_overview
from convsmith.reporting.render import publish
from convsmith.runs.folder import RunFolder

__all__ = ["INDEX", "write_index"]

INDEX = "index.html"
SIGNS = ("run.json", "recipe.yaml", "metrics.jsonl", "results.json")  # that a folder is a run


@dataclass(frozen=True)
class IndexRow:
    """A run of the list; ``report`` is the address of its page, if it has one."""

    run: Overview
    report: str | None
    top1: float | None
    epochs: int
    seconds: float | None


@dataclass(frozen=True)
class BrokenRun:
    """A folder that looks like a run and cannot be opened, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class IndexPage:
    """Everything that the template shows, the newest run first."""

    name: str
    rows: tuple[IndexRow, ...]
    broken: tuple[BrokenRun, ...]

    @property
    def finished(self) -> int:
        """Return how many runs are finished."""
        return sum(row.run.state == "finished" for row in self.rows)


def write_index(runs_folder: Path) -> Path:
    """Write ``index.html`` into a folder of runs; return its path.

    Raises:
        RunError: there is no such folder.
        WriteError: the folder cannot be written.
    """
    try:
        folders = sorted(path for path in runs_folder.iterdir() if is_run(path))
    except OSError as error:
        reason = error.strerror or error
        raise RunError(f"cannot list the runs in {runs_folder}: {reason}") from error
    rows: list[IndexRow] = []
    broken: list[BrokenRun] = []
    for folder in folders:
        try:
            rows.append(to_row(RunFolder.open(folder)))
        except ConvsmithError as error:
            broken.append(BrokenRun(folder.name, why_broken(folder, error)))
    rows.sort(key=lambda row: row.run.started or "", reverse=True)
    page = IndexPage(runs_folder.resolve().name, tuple(rows), tuple(broken))
    return publish(runs_folder / INDEX, "index.html", page)


def is_run(path: Path) -> bool:
    """Return whether a folder holds a file of a run; drafts begin with a dot."""
    if path.name.startswith(".") or not path.is_dir():
        return False
    return any((path / sign).exists() for sign in SIGNS)


def why_broken(folder: Path, error: ConvsmithError) -> str:
    """Return the reason without the path, which the list shows already."""
    if not (folder / "run.json").is_file():
        return "run.json is missing"
    return str(error).replace(f"{folder}{os.sep}", "").replace(str(folder), "it")


def to_row(run: RunFolder) -> IndexRow:
    """Return what the list shows of a run."""
    overview = read_overview(run)
    report = f"{quote(os.fsencode(run.path.name))}/{run.report.name}"
    address = report if run.report.is_file() else None
    results = overview.results
    if results is not None:
        return IndexRow(overview, address, results.test.top1, results.epochs, results.seconds)
    history = read_history(run)
    seconds = history.epochs[-1].seconds if history.epochs else None
    return IndexRow(overview, address, None, history.epochs_done, seconds)
