"""Write the pages that people look at: of one run, of a folder of runs, of several side by side."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from convsmith.api.run import open_run
from convsmith.errors import UserError
from convsmith.reporting.comparison import (
    ComparedRun,
    comparison_rows,
    comparison_table,
    write_comparison,
)
from convsmith.reporting.index import write_index
from convsmith.reporting.numbers import MISSING
from convsmith.reporting.report import write_report
from convsmith.runs.folder import find_runs_folder

__all__ = ["Comparison", "compare", "comparison_table", "report"]

PathLike = str | os.PathLike[str]


@dataclass(frozen=True)
class Comparison:
    """Several runs side by side, the page that shows them, and what to mind in reading it."""

    page: Path
    runs: tuple[ComparedRun, ...]
    notes: tuple[str, ...] = ()


def report(run: PathLike | None = None, *, runs: PathLike | None = None) -> Path:
    """Write a run's ``report.html``, or an index of all runs, and return its path.

    Args:
        run: its folder, or its name in the runs folder; None writes ``index.html`` there.
        runs: the folder of runs.

    Raises:
        RunError: there is no such run.
        UserError: there is no folder of runs.
    """
    if run is not None:
        return write_report(open_run(run, runs).folder)
    folder = find_runs_folder(runs)
    if not folder.is_dir():
        raise UserError(f"there is no folder of runs {str(folder)!r}; say which with --runs")
    return write_index(folder)


def compare(
    chosen: Sequence[PathLike], *, out: PathLike = "comparison.html", runs: PathLike | None = None
) -> Comparison:
    """Write a page that compares runs: results, curves, and where their recipes differ.

    Args:
        chosen: folders of runs, or their names in the runs folder; two or more.
        out: where the page goes.
        runs: the folder of runs.

    Raises:
        RunError: one of the runs is not there.
        UserError: there are fewer than two.
        WriteError: the page cannot be written.
    """
    if len(chosen) < 2:
        raise UserError("comparing takes two runs or more")
    folders = [open_run(each, runs).folder for each in chosen]
    page = write_comparison(folders, target(out))
    compared = tuple(comparison_rows(folders))
    data = dict.fromkeys(run.data for run in compared if run.data != MISSING)
    note = f"figures of different data say little side by side: {', '.join(data)}"
    return Comparison(page, compared, (note,) if len(data) > 1 else ())


def target(out: PathLike) -> Path:
    """Return where a page goes, which is a new file, or one to replace; links are followed.

    Raises:
        UserError: something else is there, or its folder is not.
    """
    path = Path(out).resolve() if Path(out).is_symlink() else Path(out)
    if not path.name:
        raise UserError("--out: say a file for the page")
    if not path.parent.is_dir():
        raise UserError(f"--out: there is no folder {path.parent}")
    if path.exists() and not path.is_file():
        kind = "is a folder" if path.is_dir() else "is no regular file"
        raise UserError(f"--out: {path} {kind}")
    return path
