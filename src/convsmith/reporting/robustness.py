"""A run's ``robustness.json``: accuracy and calibration by kind and strength of corruption."""

from collections.abc import Callable
from dataclasses import dataclass

from markupsafe import Markup

from convsmith.reporting.charts import LineChart, Series, line_chart
from convsmith.reporting.numbers import percent
from convsmith.reporting.sections import Absent, Picture, read_file, read_picture
from convsmith.runs.folder import RunFolder

__all__ = ["Robustness", "Worsened", "read_robustness"]

SHEET = "figures/corruptions.png"


@dataclass(frozen=True)
class Worsened:
    """One kind: what its setting is, and at each strength the setting, top-1 and error."""

    name: str
    setting: str
    settings: tuple[float, ...]
    top1: tuple[float, ...]
    ece: tuple[float | None, ...]


@dataclass(frozen=True)
class Stored:
    """The whole of ``robustness.json``."""

    part: str
    images: int
    top1: float
    ece: float | None
    mean_top1: float
    corruptions: tuple[Worsened, ...]


@dataclass(frozen=True)
class Robustness:
    """What the section shows."""

    stored: Stored
    charts: tuple[Markup, ...]
    sheet: Picture | None
    weakest: str


def read_robustness(run: RunFolder) -> Robustness | Absent:
    """Read how the network does on images made worse."""
    found = read_file(run.robustness, Stored)
    if isinstance(found, Absent):
        return found
    if not found.corruptions or not all(each.top1 for each in found.corruptions):
        return Absent("robustness.json is damaged: it holds no corruption.", damaged=True)
    worst = min(found.corruptions, key=lambda each: min(each.top1))
    strength = worst.top1.index(min(worst.top1)) + 1
    weakest = f"{worst.name} at strength {strength}, {percent(min(worst.top1))}"
    charts = (
        chart("robustness-top1", "Top-1 by strength", found, found.top1, lambda each: each.top1),
        chart("robustness-ece", "Calibration error", found, found.ece, lambda each: each.ece),
    )
    return Robustness(found, charts, read_picture(run, SHEET), weakest)


def chart(
    name: str,
    title: str,
    stored: Stored,
    clean: float | None,
    values: Callable[[Worsened], tuple[float | None, ...]],
) -> Markup:
    """Return a line for each kind, from strength 0, which is the images as they are."""
    series = tuple(
        Series(each.name, tuple(enumerate((clean, *values(each)))), color)
        for color, each in enumerate(stored.corruptions)
    )
    return line_chart(LineChart(name, title, "strength", series, "share"))
