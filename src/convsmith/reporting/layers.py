"""How weights, gradients and outputs of the layers are spread, epoch by epoch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from convsmith.reporting.charts import LineChart, Point, Series, line_chart
from convsmith.reporting.history import mapping, read_line, whole
from convsmith.reporting.numbers import known
from convsmith.runs.folder import RunFolder

__all__ = ["LayerCharts", "layer_charts"]

PARTS = (("weight", "Weights"), ("gradient", "Gradients"), ("output", "Outputs"))
LINES = (  # share below it, name, colour
    (0.975, "97.5 %", 1),
    (0.75, "75 %", 2),
    (0.5, "middle", 0),
    (0.25, "25 %", 2),
    (0.025, "2.5 %", 1),
)
MOST_LAYERS = 60


@dataclass(frozen=True)
class LayerCharts:
    """One layer's charts, those of its weights, gradients and outputs."""

    name: str
    charts: tuple[Markup, ...]


def layer_charts(run: RunFolder) -> tuple[LayerCharts, ...]:
    """Return the charts of every layer that has weights; nothing where none were logged."""
    events = read_events(run)
    if len(events) < 2:
        return ()
    names = [key.removeprefix("weight/") for key in events[-1][1] if key.startswith("weight/")]
    return tuple(
        LayerCharts(name, tuple(charts_of(name, number, events)))
        for number, name in enumerate(names[:MOST_LAYERS])
    )


def read_events(run: RunFolder) -> list[tuple[int, Mapping[str, Any]]]:
    """Return (step, histograms) of every logged step that no rollback undid, in order."""
    try:
        lines = run.metrics.read_bytes().split(b"\n")
    except OSError:
        return []
    found: dict[int, Mapping[str, Any]] = {}
    for line in lines:
        event = read_line(line)
        step = whole(event.get("step"))
        if event.get("event") == "layers" and step is not None:
            found[step] = mapping(event.get("histograms"))
        elif event.get("event") == "rollback":
            to = whole(event.get("to")) or 0
            found = {at: each for at, each in found.items() if at <= to}
    return sorted(found.items())


def charts_of(
    name: str, number: int, events: Sequence[tuple[int, Mapping[str, Any]]]
) -> list[Markup]:
    """Return a layer's charts: quantiles by step."""
    drawn = []
    for part, title in PARTS:
        rows = [(step, mapping(each.get(f"{part}/{name}"))) for step, each in events]
        if not any(row for _, row in rows):
            continue
        series = [
            Series(label, tuple(point(step, row, share) for step, row in rows), color)
            for share, label, color in LINES
        ]
        chart = LineChart(f"layer-{number}-{part}", title, "step", tuple(series), small=True)
        drawn.append(line_chart(chart))
    return drawn


def point(step: int, histogram: Mapping[str, Any], share: float) -> Point:
    """Return the value below which a share of a histogram lies; None where it is damaged."""
    low, high, counts = histogram.get("low"), histogram.get("high"), histogram.get("counts")
    first, last = known(low), known(high)
    if first is None or last is None or not isinstance(counts, list) or not counts:
        return step, None
    numbers = [known(each) or 0.0 for each in counts]
    wanted, below, width = share * sum(numbers), 0.0, (last - first) / len(numbers)
    for at, number in enumerate(numbers):
        if number and below + number >= wanted:
            return step, first + width * (at + (wanted - below) / number)
        below += number
    return step, last
