"""The page of one run: how it went, where it is wrong, and how to make it again."""

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from markupsafe import Markup

from convsmith.reporting.classes import Classes, read_classes
from convsmith.reporting.compression import CompressionPage, read_compression
from convsmith.reporting.confidence import Confidence, read_confidence
from convsmith.reporting.curves import learning_curves, pace_curves
from convsmith.reporting.explanations import Gallery, read_explanations
from convsmith.reporting.findings import Findings, finding_marks, read_findings
from convsmith.reporting.headline import Tile, headline, notices, progress, tiles
from convsmith.reporting.history import History, mapping, read_history
from convsmith.reporting.labels import Labels, read_labels
from convsmith.reporting.layers import LayerCharts, layer_charts
from convsmith.reporting.overview import Overview, plain_text, read_overview
from convsmith.reporting.plan import Planned, read_plan
from convsmith.reporting.render import publish
from convsmith.reporting.robustness import Robustness, read_robustness
from convsmith.reporting.sections import Absent, Mistakes, Picture, read_mistakes, read_picture
from convsmith.runs.folder import RunFolder

__all__ = ["write_report"]

T = TypeVar("T")

SHEETS = (
    ("figures/samples.png", "As they are", "training images"),
    ("figures/augmented.png", "As the network sees them", "the same with augmentation"),
)
SURROUNDINGS = {
    "convsmith": "convsmith",
    "torch": "PyTorch",
    "numpy": "NumPy",
    "pillow": "Pillow",
    "device": "device",
    "cpu": "processor",
    "cpu_capability": "instruction set",
    "threads": "threads",
    "data": "digest of the images",
    "recipe": "digest of the recipe",
}


@dataclass(frozen=True)
class Sheet:
    """A sheet of training images."""

    title: str
    words: str
    picture: Picture


@dataclass(frozen=True)
class Request:
    """Something that is measured when it is asked for, and how to ask."""

    words: str
    command: str


@dataclass(frozen=True)
class ReportPage:
    """Everything that the template shows; a part that is None is left out."""

    run: Overview
    history: History
    headline: Tile
    progress: float | None
    tiles: tuple[Tile, ...]
    notices: tuple[str, ...]
    findings: Findings | Absent | None
    curves: tuple[Markup, ...]
    pace: tuple[Markup, ...]
    layers: tuple[LayerCharts, ...]
    classes: Classes | Absent | None
    confidence: Confidence | Absent | None
    mistakes: Mistakes | Absent | None
    robustness: Robustness | Absent | None
    labels: Labels | Absent | None
    explanations: tuple[Gallery | Absent, ...]
    sheets: tuple[Sheet, ...] | Absent | None
    plan: Planned | Absent | None
    requests: tuple[Request, ...]
    compression: CompressionPage | Absent | None
    resume: str
    again: str
    surroundings: tuple[tuple[str, str], ...]


def write_report(run: RunFolder) -> Path:
    """Write ``report.html`` into a run's folder, whatever state the run is in; return its path.

    The page is one file that holds its style, script and images and asks for nothing else.

    Raises:
        WriteError: the folder cannot be written.
    """
    return publish(run.report, "report.html", read_page(run))


def read_page(run: RunFolder) -> ReportPage:
    """Return everything that the page of a run shows."""
    overview, history = read_overview(run), read_history(run)
    over, findings = run.finished, read_findings(run)
    sheets = due(read_sheets(run), over)
    robustness, labels = wanted(read_robustness(run)), wanted(read_labels(run))
    return ReportPage(
        run=overview,
        history=history,
        headline=headline(overview, history),
        progress=progress(overview, history),
        tiles=tiles(overview, history),
        notices=notices(overview, history),
        findings=due(findings, over=False),  # it is there when somebody asked for it
        curves=learning_curves(overview, history, finding_marks(findings, history)),
        pace=pace_curves(history),
        layers=layer_charts(run),
        classes=due(read_classes(run), over),
        confidence=due(read_confidence(run), over),
        mistakes=due(read_mistakes(run), over),
        plan=due(read_plan(run), over=False),  # nobody has to have planned
        robustness=robustness,
        labels=labels,
        sheets=sheets,
        requests=requests(
            overview,
            robustness=robustness is None and isinstance(sheets, tuple),
            label_errors=labels is None,
        ),
        compression=due(read_compression(run), over=False),  # nor compressed
        explanations=read_explanations(run),
        resume=shlex.join(["convsmith", "train", "--resume", str(run.path), *data_root(overview)]),
        again=again(run, overview),
        surroundings=surroundings(overview),
    )


def due(part: T | Absent, over: bool) -> T | Absent | None:
    """Return None for what a run that is not over does not have yet."""
    return None if isinstance(part, Absent) and not part.damaged and not over else part


def wanted(part: T | Absent) -> T | Absent | None:
    """Return None for what nobody has asked for yet."""
    return None if isinstance(part, Absent) and not part.damaged else part


def requests(run: Overview, *, robustness: bool, label_errors: bool) -> tuple[Request, ...]:
    """Return what can still be asked for from the command line, and how."""
    if run.results is None or run.own_network or run.own_data:
        return ()
    command = ["convsmith", "evaluate", str(run.path)]
    found = []
    if robustness:
        words = "How it does with noise, blur, brightness and JPEG, at five strengths each"
        found.append(Request(words, shlex.join([*command, "--robustness", *data_root(run)])))
    if label_errors:
        words = "Labels of the training and validation parts that look wrong"
        found.append(Request(words, shlex.join([*command, "--label-errors", *data_root(run)])))
    return tuple(found)


def read_sheets(run: RunFolder) -> tuple[Sheet, ...] | Absent:
    """Return the sheets of training images that are there."""
    found = [(title, words, read_picture(run, name)) for name, title, words in SHEETS]
    sheets = tuple(Sheet(title, words, picture) for title, words, picture in found if picture)
    if sheets:
        return sheets
    names = [name for name, _, _ in SHEETS]
    if any((run.path / name).exists() for name in names):
        return Absent(f"{' and '.join(names)} are damaged.", damaged=True)
    return Absent(f"{' and '.join(names)} are not in the run’s folder.", damaged=False)


def again(run: RunFolder, overview: Overview) -> str:
    """Return what to type to train the same once more."""
    words = ["convsmith", "train", str(run.recipe), "--name", f"{overview.name}-again"]
    start_from = overview.environment.get("start_from")
    if isinstance(start_from, str):
        words += ["--from", start_from]
    return shlex.join([*words, *data_root(overview)])


def data_root(run: Overview) -> list[str]:
    """Return the option that says where data sets lie, if it was given."""
    given = run.environment.get("data_root")
    return ["--data-root", given] if isinstance(given, str) else []


def surroundings(run: Overview) -> tuple[tuple[str, str], ...]:
    """Return what the exact numbers depend on besides the recipe, and the system."""
    exact = mapping(run.environment.get("exact"))
    found = [(label, exact[key]) for key, label in SURROUNDINGS.items() if key in exact]
    system = [
        (key, run.environment[key]) for key in ("python", "platform") if key in run.environment
    ]
    left_out = run.environment.get("left_out")
    if isinstance(left_out, list) and left_out:
        words = f"{len(left_out):,} files or folders, which environment.json lists"
        system.append(("left out of the data", words))
    return tuple((label, plain_text(value)) for label, value in found + system)
