"""What ``diagnose`` found in a run, read from its ``findings.json`` and made ready for the page."""

import shlex
from dataclasses import dataclass
from typing import Literal

from markupsafe import Markup

from convsmith.reporting.charts import LineChart, Mark, Series, line_chart
from convsmith.reporting.history import History
from convsmith.reporting.sections import Absent, read_file
from convsmith.runs.folder import RunFolder

__all__ = ["Findings", "ShownFinding", "finding_marks", "read_findings"]

MARKED = 4  # findings that are marked in the curves; more would hide them


@dataclass(frozen=True)
class StoredLevel:
    """A line that a plot's values are held against."""

    y: float
    label: str


@dataclass(frozen=True)
class StoredPlot:
    """The small plot of a finding."""

    title: str
    x_label: str
    points: tuple[tuple[float, float | None], ...]
    log: bool = False
    level: StoredLevel | None = None


@dataclass(frozen=True)
class StoredFinding:
    """One entry of ``findings.json``."""

    rule: str
    severity: Literal["bad", "warn"]
    what: str
    evidence: str
    cause: str
    change: str
    sets: tuple[str, ...] = ()
    layer: str | None = None
    step: int | None = None
    epoch: int | None = None
    plot: StoredPlot | None = None


@dataclass(frozen=True)
class StoredFindings:
    """The whole of ``findings.json``, the worst first."""

    made: str
    looked: tuple[str, ...]
    findings: tuple[StoredFinding, ...]


@dataclass(frozen=True)
class ShownFinding:
    """A finding as the page shows it; ``where`` and ``command`` may be empty."""

    number: int
    finding: StoredFinding
    where: str
    command: str
    plot: Markup | None


@dataclass(frozen=True)
class Findings:
    """All findings as the page shows them, and what was looked at."""

    made: str
    looked: str
    shown: tuple[ShownFinding, ...]


def read_findings(run: RunFolder) -> Findings | Absent:
    """Read what was found in a run."""
    found = read_file(run.findings, StoredFindings)
    if isinstance(found, Absent):
        return found
    shown = tuple(show(run, number, each) for number, each in enumerate(found.findings, 1))
    return Findings(found.made, ", ".join(found.looked), shown)


def show(run: RunFolder, number: int, finding: StoredFinding) -> ShownFinding:
    """Return one finding with its place, its command and its plot."""
    places = [
        f"layer {finding.layer}" if finding.layer else "",
        f"step {finding.step:,}" if finding.step else "",
        f"epoch {finding.epoch:,}" if finding.epoch else "",
    ]
    words = ["convsmith", "train", str(run.recipe)]
    words += [word for each in finding.sets for word in ("--set", each)]
    return ShownFinding(
        number=number,
        finding=finding,
        where=", ".join(filter(None, places)),
        command=shlex.join(words) if finding.sets else "",
        plot=None if finding.plot is None else draw(number, finding.plot),
    )


def draw(number: int, plot: StoredPlot) -> Markup:
    """Return a finding's plot: the values, and the line that they are held against."""
    series = [Series(plot.title, plot.points)]
    if plot.level is not None and plot.points:
        ends = (plot.points[0][0], plot.points[-1][0])
        flat = tuple((x, plot.level.y) for x in ends)
        series.append(Series(plot.level.label, flat, 9))  # the second time round: dashed
    chart = LineChart(
        f"finding-{number}", plot.title, plot.x_label, tuple(series), log=plot.log, small=True
    )
    return line_chart(chart)


def finding_marks(findings: Findings | Absent, history: History) -> tuple[Mark, ...]:
    """Return where findings happened, by epoch, for the learning curves."""
    if isinstance(findings, Absent) or not history.epochs:
        return ()
    per_epoch = history.epochs[0].step / history.epochs[0].epoch
    marks: list[Mark] = []
    for each in findings.shown[:MARKED]:
        epoch, step = each.finding.epoch, each.finding.step
        x = epoch if epoch is not None else None if step is None else step / per_epoch
        if x is not None:
            marks.append(Mark(x, f"{each.number}: {each.finding.rule}", len(marks) + 1))
    return tuple(marks)
