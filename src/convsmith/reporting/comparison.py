"""Several runs side by side: figures, curves, and the recipe values in which they differ."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from markupsafe import Markup

from convsmith.errors import UserError
from convsmith.reporting.charts import Bar, bar_chart, css_color
from convsmith.reporting.curves import compared_curves
from convsmith.reporting.history import History, read_history
from convsmith.reporting.numbers import MISSING, bytes_text, count, duration, percent, short
from convsmith.reporting.overview import Overview, State, flatten, read_overview
from convsmith.reporting.render import publish
from convsmith.runs.folder import RunFolder

__all__ = ["ComparedRun", "comparison_rows", "comparison_table", "write_comparison"]


@dataclass(frozen=True)
class Column:
    """A figure that is compared: its name, its title, how it is written, which end is better."""

    name: str
    title: str
    show: Callable[[float | None], str]
    better: int  # 1: more, -1: less, 0: neither


COLUMNS = (
    Column("test_top1", "test top-1", percent, 1),
    Column("test_top5", "test top-5", percent, 1),
    Column("test_loss", "test loss", short, -1),
    Column("val_top1", "val top-1", percent, 1),
    Column("val_loss", "val loss", short, -1),
    Column("epochs", "epochs", count, 0),
    Column("seconds", "time", duration, -1),
    Column("images_per_second", "images/s", count, 1),
    Column("parameters", "parameters", count, -1),
    Column("model_bytes", "weights", bytes_text, -1),
    Column("peak_memory_bytes", "peak memory", bytes_text, -1),
)


@dataclass(frozen=True)
class ComparedRun:
    """One run of a comparison.

    ``figures`` are ``test_top1``, ``seconds`` and so on, None where the run has none; ``best``
    names those in which no other run is better. ``recipe`` holds the values, as text by dotted
    path, in which not all runs are equal; a value that this run does not have is None.
    """

    name: str
    path: str
    state: State
    data: str
    network: str
    figures: dict[str, float | None]
    best: tuple[str, ...]
    recipe: dict[str, str | None]


@dataclass(frozen=True)
class Cell:
    """A figure of the page's table."""

    text: str
    value: float | None
    best: bool


@dataclass(frozen=True)
class Row:
    """A run of the page's table; ``report`` is the address of its page, if it has one."""

    run: ComparedRun
    report: str | None
    color: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class ComparisonPage:
    """Everything that the template shows; a difference has one value a run."""

    titles: tuple[str, ...]
    rows: tuple[Row, ...]
    differences: tuple[tuple[str, tuple[str, ...]], ...]
    charts: tuple[Markup, ...]
    data: tuple[str, ...]  # the data sets


def comparison_rows(runs: Sequence[RunFolder]) -> list[ComparedRun]:
    """Return what a comparison of runs shows, as plain data in the order given."""
    return compare(runs, [read_history(run) for run in runs])


def comparison_table(rows: Sequence[ComparedRun]) -> list[list[str]]:
    """Return text for a terminal: a line of titles, then one a run; ``*`` marks the best."""
    lines = [["run", *(column.title for column in COLUMNS)]]
    for row in rows:
        shown = [
            column.show(row.figures[column.name]) + "*" * (column.name in row.best)
            for column in COLUMNS
        ]
        lines.append([row.name, *shown])
    return lines


def write_comparison(runs: Sequence[RunFolder], target: Path) -> Path:
    """Write a page that compares runs to ``target``; return its path.

    Raises:
        UserError: no run was given.
        WriteError: the page cannot be written there.
    """
    if not runs:
        raise UserError("say which runs to compare")
    histories = [read_history(run) for run in runs]
    compared = compare(runs, histories)
    named = [(row.name, history) for row, history in zip(compared, histories, strict=True)]
    page = ComparisonPage(
        titles=tuple(column.title for column in COLUMNS),
        rows=tuple(
            Row(row, report_address(run, target), css_color(at), cells(row))
            for at, (row, run) in enumerate(zip(compared, runs, strict=True))
        ),
        differences=tuple(
            (
                key,
                tuple(MISSING if (value := row.recipe[key]) is None else value for row in compared),
            )
            for key in compared[0].recipe
        ),
        charts=(*error_bars(compared), *compared_curves(named)),
        data=tuple(dict.fromkeys(row.data for row in compared)),
    )
    return publish(target, "comparison.html", page)


def compare(runs: Sequence[RunFolder], histories: Sequence[History]) -> list[ComparedRun]:
    """Return the runs with what is best and what differs."""
    overviews = [read_overview(run) for run in runs]
    figures = [figures_of(run, history) for run, history in zip(overviews, histories, strict=True)]
    names = distinct_names([run.path for run in runs])
    recipes = differing([flatten(run.recipe) for run in overviews])
    over = [
        own if run.results else own | {"seconds": None}
        for run, own in zip(overviews, figures, strict=True)
    ]
    best = best_values(over)
    return [
        ComparedRun(
            name=name,
            path=str(run.path),
            state=run.state,
            data=run.data,
            network=run.network,
            figures=own,
            best=tuple(key for key, value in best.items() if rated[key] == value),
            recipe=recipe,
        )
        for name, run, own, rated, recipe in zip(
            names, overviews, figures, over, recipes, strict=True
        )
    ]


def figures_of(run: Overview, history: History) -> dict[str, float | None]:
    """Return a run's figures; before its end, those of its newest epoch."""
    results = run.results
    if results is None:
        newest = history.epochs[-1] if history.epochs else None
        early = {
            "val_top1": newest.val_top1 if newest else None,
            "val_loss": newest.val_loss if newest else None,
            "epochs": history.epochs_done,
            "seconds": newest.seconds if newest else None,
        }
        return {column.name: early.get(column.name) for column in COLUMNS}
    return {
        "test_top1": results.test.top1,
        "test_top5": results.test.top5,
        "test_loss": results.test.loss,
        "val_top1": results.val.top1 if results.val else None,
        "val_loss": results.val.loss if results.val else None,
        "epochs": results.epochs,
        "seconds": results.seconds,
        "images_per_second": results.images_per_second,
        "parameters": results.parameters,
        "model_bytes": results.model_bytes,
        "peak_memory_bytes": results.peak_memory_bytes,
    }


def best_values(figures: Sequence[Mapping[str, float | None]]) -> dict[str, float]:
    """Return the best value of each figure in which at least two runs differ."""
    best = {}
    for column in COLUMNS:
        values = [value for own in figures if (value := own[column.name]) is not None]
        if column.better and len(set(values)) > 1:
            best[column.name] = max(values) if column.better > 0 else min(values)
    return best


def differing(recipes: Sequence[Mapping[str, str]]) -> list[dict[str, str | None]]:
    """Return, for each recipe, its values at the paths where not all recipes are equal.

    Recipes that could not be read are empty, and do not make every other value a difference.
    """
    paths = dict.fromkeys(path for recipe in recipes for path in recipe)
    read = [recipe for recipe in recipes if recipe]
    found = [path for path in paths if len({recipe.get(path) for recipe in read}) > 1]
    sections = list(dict.fromkeys(path.partition(".")[0] for path in paths))
    found.sort(key=lambda path: sections.index(path.partition(".")[0]))
    return [{path: recipe.get(path) for path in found} for recipe in recipes]


def distinct_names(paths: Sequence[Path]) -> list[str]:
    """Return the folders' names, with as many of their parents as it takes to tell them apart."""
    whole = [path.resolve().parts for path in paths]
    longest = max(map(len, whole), default=0)
    for length in range(1, longest + 1):
        names = ["/".join(parts[-length:]) for parts in whole]
        if len(set(names)) == len(set(whole)):
            return names
    return [str(path) for path in paths]


def cells(run: ComparedRun) -> tuple[Cell, ...]:
    """Return the figures of a run as the page's table shows them."""
    return tuple(
        Cell(column.show(value), value, column.name in run.best)
        for column in COLUMNS
        for value in (run.figures[column.name],)
    )


def error_bars(runs: Sequence[ComparedRun]) -> tuple[Markup, ...]:
    """Return test errors as bars: accuracies near 100% would all look the same."""
    bars = [
        Bar(run.name, 1 - top1, percent(1 - top1), color)
        for color, run in enumerate(runs)
        if (top1 := run.figures["test_top1"]) is not None
    ]
    return (bar_chart("test-errors", "Test errors", bars, "share of images"),) if bars else ()


def report_address(run: RunFolder, target: Path) -> str | None:
    """Return where a run's page is, seen from the page at ``target``."""
    if not run.report.is_file():
        return None
    return quote(os.fsencode(os.path.relpath(run.report, target.parent)))
