"""Dots of several sizes over two axes, each with its number, as SVG text inside an HTML figure."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from markupsafe import Markup

from convsmith.reporting.charts import WIDE, Frame, css_color, draw_axes
from convsmith.reporting.scales import Scale, linear_scale, log_scale

__all__ = ["Dot", "scatter_chart"]

Place = tuple[float, float]

LEAST, MOST = 5.0, 24.0  # radii in the drawing's units
GAP, ABOVE = 19.0, 32.0  # of numbers from one another, and from the middle of their discs
BEST, OTHER = 0, 7  # which of the page's colours
LOG_RATIO = 8


@dataclass(frozen=True)
class Dot:
    """One dot: ``area`` is from 0 to 1; ``best`` ones are filled and joined by a line."""

    label: str
    x: float
    y: float
    area: float
    words: str
    best: bool


def scatter_chart(name: str, title: str, note: str, x_label: str, dots: Sequence[Dot]) -> Markup:
    """Return a figure in which dot ``n`` of the legend carries the number ``n``."""
    values = [dot.x for dot in dots]
    log = min(values) > 0 and max(values) > LOG_RATIO * min(values)
    across = roomy(log_scale(values) if log else linear_scale(values, from_zero=True))
    upward = roomy(linear_scale([dot.y for dot in dots], "share"), above=0.2)
    longest = max(map(len, upward.labels), default=0)
    frame = replace(WIDE, left=max(WIDE.left, 12 + 8 * longest))
    numbered = list(enumerate(dots, 1))
    large_first = sorted(numbered, key=lambda pair: -pair[1].area)
    places = {number: place(frame, across, upward, dot) for number, dot in numbered}
    body = Markup("").join(
        [
            draw_axes(frame, across, upward, f"{x_label}{', log scale' if log else ''}"),
            *(draw_number(number, places[number], at) for number, at in spread(places, frame)),
            *(draw_dot(number, dot, places[number]) for number, dot in large_first),
        ]
    )
    spoken = "; ".join(f"{dot.label}: {dot.words}" for dot in dots)
    return Markup(
        '<figure class="chart" id="{}"><figcaption><span class="title">{}</span>'
        '<span class="note">{}</span></figcaption>'
        '<div class="plot"><svg class="scatter" viewBox="0 0 {} {}" role="img" aria-label="{}">{}'
        "</svg></div>{}</figure>"
    ).format(
        name, title, note, frame.width, frame.height, f"{title}: {spoken}", body, legend(numbered)
    )


def roomy(scale: Scale, above: float = 0.08) -> Scale:
    """Return an axis that goes on a little at both ends, so that dots there are whole."""
    if scale.log:
        room = (scale.high / scale.low) ** 0.08
        return replace(scale, low=scale.low / room, high=scale.high * room)
    size = scale.high - scale.low
    return replace(scale, low=scale.low - 0.08 * size, high=scale.high + above * size)


def place(frame: Frame, across: Scale, upward: Scale, dot: Dot) -> Place:
    """Return where a dot lies."""
    return frame.x(across.place(dot.x)), frame.y(upward.place(dot.y))


def spread(places: Mapping[int, Place], frame: Frame) -> Iterator[tuple[int, Place]]:
    """Yield where each number stands: above its disc, beside its neighbours."""
    waiting = sorted(places, key=lambda number: places[number][1])
    while waiting:
        top = places[waiting[0]][1]
        row = [number for number in waiting if places[number][1] < top + MOST]
        waiting = [number for number in waiting if number not in row]
        row.sort(key=lambda number: places[number][0])
        columns: list[float] = []
        for number in row:
            least = columns[-1] + GAP if columns else -math.inf
            columns.append(max(places[number][0], least))
        moved = sum(columns) / len(row) - sum(places[number][0] for number in row) / len(row)
        moved = max(moved, columns[-1] - frame.x(1))
        moved = min(moved, columns[0] - frame.x(0))
        for number, column in zip(row, columns, strict=True):
            yield number, (column - moved, top - ABOVE)


def draw_dot(number: int, dot: Dot, at: Place) -> Markup:
    """Return a disc; pointing at it shows its words."""
    color = css_color(BEST if dot.best else OTHER)
    return Markup(
        '<circle class="{}" cx="{:.1f}" cy="{:.1f}" r="{:.1f}" fill="{}" stroke="{}">'
        "<title>{}. {}: {}</title></circle>"
    ).format(
        "disc best" if dot.best else "disc",
        *at,
        max(LEAST, MOST * math.sqrt(dot.area)),
        color,
        color,
        number,
        dot.label,
        dot.words,
    )


def draw_number(number: int, at: Place, label: Place) -> Markup:
    """Return a disc's number, and the line from it to the middle of the disc."""
    return Markup(
        '<path class="leader" d="M{:.1f} {:.1f}L{:.1f} {:.1f}"/>'
        '<text class="number" x="{:.1f}" y="{:.1f}" text-anchor="middle">{}</text>'
    ).format(*at, label[0], label[1] + 4, *label, number)


def legend(numbered: Sequence[tuple[int, Dot]]) -> Markup:
    """Return the numbers with their names."""
    items = Markup("").join(
        Markup('<li class="{}"><b>{}</b>{}</li>').format(
            "best" if dot.best else "", number, dot.label
        )
        for number, dot in numbered
    )
    return Markup('<ol class="legend numbers">{}</ol>').format(items)
