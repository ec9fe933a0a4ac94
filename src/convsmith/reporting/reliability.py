"""The reliability diagram: how often the network is right against how often it says so."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

from markupsafe import Markup

from convsmith.reporting.charts import Frame, css_color, draw_axes
from convsmith.reporting.numbers import count, percent
from convsmith.reporting.scales import Scale

__all__ = ["Bin", "Line", "reliability_diagram"]

PLOT = Frame(width=480, height=380, left=58, right=14, top=30, bottom=50)
LARGEST, SMALLEST = 9.0, 2.2  # radii of the dots of all images and of none
TICKS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
SHARES = Scale(0.0, 1.0, TICKS, tuple(f"{100 * tick:.0f}%" for tick in TICKS))


@dataclass(frozen=True)
class Bin:
    """Images whose confidence is in ``(low, high]``; see ``convsmith.insight.calibration``."""

    low: float
    high: float
    images: int
    confidence: float
    accuracy: float
    least: float
    most: float


@dataclass(frozen=True)
class Line:
    """One set of probabilities: its name, its colour of the page's, and its bins."""

    name: str
    color: int
    bins: tuple[Bin, ...]


def reliability_diagram(name: str, lines: Sequence[Line]) -> Markup:
    """Return a figure with a dot a bin, as large as it has images, and its way to the diagonal.

    Behind the dots of the last line is where 95 % of them would lie if its confidences were true.
    """
    body = [
        draw_axes(PLOT, SHARES, SHARES, "how sure it is"),
        Markup('<text class="name" x="{}" y="12">how often it is right</text>').format(PLOT.left),
        *(draw_band(each) for each in lines[-1].bins),
        draw_diagonal(),
        *(draw_bins(line) for line in lines),
    ]
    return Markup(
        '<figure class="chart" id="{}"><figcaption><span class="title">Right as often as it says?'
        '</span><ul class="legend">{}</ul></figcaption><div class="plot"><svg class="lines"'
        ' viewBox="0 0 {} {}" role="img" tabindex="0" aria-label="{}" data-chart="{}">{}</svg>'
        '<div class="readout" hidden></div></div></figure>'
    ).format(
        name,
        legend(lines),
        PLOT.width,
        PLOT.height,
        summary(lines),
        read_out(lines),
        Markup("").join(body),
    )


def place(confidence: float, accuracy: float) -> tuple[float, float]:
    """Return where a confidence and an accuracy lie."""
    return PLOT.x(confidence), PLOT.y(accuracy)


def draw_band(each: Bin) -> Markup:
    """Return where a bin's dot would mostly lie if its confidences were true."""
    (left, top), (right, bottom) = place(each.low, each.most), place(each.high, each.least)
    return Markup(
        '<rect class="band" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"/>'
    ).format(left, top, right - left, max(1.0, bottom - top))


def draw_diagonal() -> Markup:
    """Return where all dots would be."""
    (left, bottom), (right, top) = place(0, 0), place(1, 1)
    return Markup('<path class="mark" d="M{:.1f} {:.1f}L{:.1f} {:.1f}"/>').format(
        left, bottom, right, top
    )


def draw_bins(line: Line) -> Markup:
    """Return the dots of one line, each with its way to the diagonal."""
    total = sum(each.images for each in line.bins)
    places = [place(each.confidence, each.accuracy) for each in line.bins]
    path = "".join(
        f"M{x:.1f} {y:.1f}V{PLOT.y(each.confidence):.1f}"
        for (x, y), each in zip(places, line.bins, strict=True)
    )
    color = css_color(line.color)
    dots = [
        Markup('<circle class="dot" cx="{:.1f}" cy="{:.1f}" r="{:.1f}" fill="{}"/>').format(
            x, y, radius(each.images / total), color
        )
        for (x, y), each in zip(places, line.bins, strict=True)
    ]
    ways = Markup('<path class="line thin" d="{}" stroke="{}"/>').format(path, color)
    return Markup("").join([ways, *dots])


def radius(share: float) -> float:
    """Return a dot's radius: its area grows with its share of the images."""
    return sqrt(SMALLEST**2 + share * (LARGEST**2 - SMALLEST**2))


def legend(lines: Sequence[Line]) -> Markup:
    """Return what the colours mean."""
    keys = [
        Markup(
            '<li><svg class="key" viewBox="0 0 18 4" aria-hidden="true"><circle cx="9" cy="2" r="5"'
            ' fill="{}"/></svg>{}</li>'
        ).format(css_color(line.color), line.name)
        for line in lines
    ]
    band = Markup('<li><span class="swatch band"></span>95 % of such dots, were it true</li>')
    return Markup("").join([*keys, band])


def summary(lines: Sequence[Line]) -> str:
    """Return the diagram in words, for those who do not see it."""
    told = [
        f"{line.name}: "
        + ", ".join(f"says {percent(b.confidence)}, right {percent(b.accuracy)}" for b in line.bins)
        for line in lines
    ]
    return f"Reliability diagram. {'; '.join(told)}"


def read_out(lines: Sequence[Line]) -> str:
    """Return, as JSON, every dot's place and words, as line charts have them."""
    told = [
        {
            "name": line.name,
            "color": css_color(line.color),
            "points": [
                [
                    percent(each.confidence),
                    *(round(along, 1) for along in place(each.confidence, each.accuracy)),
                    f"right {percent(each.accuracy)} of {count(each.images)}",
                ]
                for each in line.bins
            ],
        }
        for line in lines
    ]
    ends = [PLOT.top, PLOT.height - PLOT.bottom]
    return json.dumps({"x": "sure", "ends": ends, "lines": told}, separators=(",", ":"))
