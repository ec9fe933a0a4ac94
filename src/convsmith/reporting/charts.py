"""Line charts and bars as SVG text inside HTML figures.

Colours are CSS variables of the page, so that charts follow light and dark. Each line chart carries
its points in ``data-chart``, from which the page's script shows values under the pointer.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from markupsafe import Markup

from convsmith.reporting.numbers import count, percent, short
from convsmith.reporting.scales import Kind, Scale, linear_scale, log_scale, spread_scale

__all__ = [
    "Bar",
    "Frame",
    "LineChart",
    "Mark",
    "Point",
    "Series",
    "bar_chart",
    "css_color",
    "cut",
    "draw_axes",
    "line_chart",
    "thin",
]

Point = tuple[float, float | None]

COLORS = 8  # the page defines --s1 to --s8
MOST_POINTS = 400  # a line; more than a screen shows
MOST_BARS = 12
ROW = 18  # between the words of marks


@dataclass(frozen=True)
class Series:
    """One line. A point without a value is a gap in it."""

    name: str
    points: tuple[Point, ...]
    color: int = 0  # which of the page's colours, counted on and on
    faint: bool = False  # drawn thin, behind, and without a place in the legend

    @property
    def css(self) -> str:
        """Return the colour as CSS has it."""
        return css_color(self.color)

    @property
    def dash(self) -> str:
        """Return the stroke's pattern: colours used a second time are dashed."""
        return "6 4" if self.color >= COLORS else "none"


@dataclass(frozen=True)
class Mark:
    """A vertical line with a word to it; ``row`` counts upward, for words that would overlap."""

    x: float
    label: str
    row: int = 0


@dataclass(frozen=True)
class LineChart:
    """A line chart; ``name`` is its id in the page."""

    name: str
    title: str
    x_label: str
    series: tuple[Series, ...]
    kind: Kind = "number"
    unit: str = ""
    log: bool = False
    log_x: bool = False
    from_zero: bool = False
    marks: tuple[Mark, ...] = ()
    small: bool = False


@dataclass(frozen=True)
class Bar:
    """One bar: its name, its length and the words at its end."""

    label: str
    value: float
    text: str
    color: int = 1  # which of the page's colours, counted on and on


@dataclass(frozen=True)
class Frame:
    """The sides of a chart's drawing in its own units."""

    width: int
    height: int
    left: int
    right: int
    top: int
    bottom: int

    def x(self, share: float) -> float:
        """Return the horizontal place of a share of the axis."""
        return self.left + share * (self.width - self.left - self.right)

    def y(self, share: float) -> float:
        """Return the vertical place of a share of the axis, counted from the bottom."""
        return self.height - self.bottom - share * (self.height - self.top - self.bottom)


WIDE = Frame(560, 320, 64, 14, 20, 50)
SMALL = Frame(400, 250, 56, 12, 20, 46)


def line_chart(chart: LineChart) -> Markup:
    """Return a figure with title, legend and lines; one that says so where there is no value."""
    frame = SMALL if chart.small else WIDE
    series = tuple(replace(each, points=thin(each.points, MOST_POINTS)) for each in chart.series)
    points = [point for each in series for point in each.points]
    values = [y for _, y in points if y is not None]
    log = chart.log and bool(values) and min(values) > 0
    if not values:
        drawing = Markup('<p class="nothing">No values were logged.</p>')
    else:
        places = [x for x, _ in points]
        across = log_scale(places) if chart.log_x else spread_scale(places)
        if log:
            upward = log_scale(values)
        else:
            upward = linear_scale(values, chart.kind, from_zero=chart.from_zero)
        longest = max(map(len, upward.labels), default=0)
        above = ROW * max((mark.row for mark in chart.marks), default=0)
        frame = replace(
            frame,
            left=max(frame.left, 12 + 8 * longest),
            top=frame.top + above,
            height=frame.height + above,
        )
        body = draw_body(chart, frame, across, upward, series)
        drawing = wrap(chart, frame, body, read_out(chart, frame, across, upward, series))
    return Markup(
        '<figure class="chart" id="{}"><figcaption><span class="title">{}</span>{}{}</figcaption>'
        "{}</figure>"
    ).format(
        chart.name,
        chart.title,
        note(chart, log),
        "" if [each.name for each in series] == [chart.title] else legend(series),
        drawing,
    )


def draw_body(
    chart: LineChart, frame: Frame, across: Scale, upward: Scale, series: Sequence[Series]
) -> Markup:
    """Return axes, marks and lines, the faint ones behind."""
    lines = sorted(series, key=lambda each: not each.faint)
    return Markup("").join(
        [
            draw_axes(frame, across, upward, chart.x_label),
            *(draw_mark(frame, across, mark) for mark in sorted(chart.marks, key=tall_first)),
            *(draw_line(frame, across, upward, each) for each in lines),
        ]
    )


def wrap(chart: LineChart, frame: Frame, body: Markup, data: str) -> Markup:
    """Return the drawing with its accessible name and the values for the script."""
    return Markup(
        '<div class="plot"><svg class="{}" viewBox="0 0 {} {}" role="img" tabindex="0"'
        ' aria-label="{}" data-chart="{}">{}</svg><div class="readout" hidden></div></div>'
    ).format(
        "lines small" if chart.small else "lines",
        frame.width,
        frame.height,
        summary(chart),
        data,
        body,
    )


def note(chart: LineChart, log: bool) -> Markup:
    """Return the words beside the title: the unit, and whether the axis is logarithmic."""
    words = ", ".join(filter(None, [chart.unit, "log scale" if log else ""]))
    return Markup('<span class="note">{}</span>').format(words) if words else Markup("")


def legend(series: Sequence[Series]) -> Markup:
    """Return the names of the lines, each with a piece of its line."""
    items = Markup("").join(
        Markup(
            '<li><svg class="key" viewBox="0 0 18 4" aria-hidden="true"><path d="M0 2h18"'
            ' stroke="{}" stroke-dasharray="{}"/></svg>{}</li>'
        ).format(each.css, each.dash, each.name)
        for each in series
        if not each.faint
    )
    return Markup('<ul class="legend">{}</ul>').format(items)


def summary(chart: LineChart) -> str:
    """Return the chart in words, for those who do not see it."""
    parts = []
    for each in chart.series:
        known = [y for _, y in each.points if y is not None]
        if known and not each.faint:
            ends = f"from {value_text(known[0], chart)} to {value_text(known[-1], chart)}"
            parts.append(f"{each.name} {ends}, {len(known)} values")
    return f"{chart.title} by {chart.x_label}: {'; '.join(parts)}"


def value_text(value: float, chart: LineChart) -> str:
    """Return one value in words."""
    if chart.kind == "share":
        return percent(value)
    return f"{short(value)} {chart.unit}".rstrip()


def draw_axes(frame: Frame, across: Scale, upward: Scale, x_label: str) -> Markup:
    """Return grid lines, ticks and their numbers."""
    left, right, bottom = frame.x(0), frame.x(1), frame.y(0)
    parts = []
    for tick, label in zip(upward.ticks, upward.labels, strict=True):
        y = frame.y(upward.place(tick))
        parts.append(
            Markup(
                '<path class="grid" d="M{:.1f} {:.1f}H{:.1f}"/>'
                '<text x="{:.1f}" y="{:.1f}" dy=".34em" text-anchor="end">{}</text>'
            ).format(left, y, right, left - 9, y, label)
        )
    for tick, label in zip(across.ticks, across.labels, strict=True):
        x = frame.x(across.place(tick))
        parts.append(
            Markup(
                '<path class="tick" d="M{0:.1f} {1:.1f}v5"/>'
                '<text x="{0:.1f}" y="{2:.1f}" text-anchor="middle">{3}</text>'
            ).format(x, bottom, bottom + 20, label)
        )
    parts.append(
        Markup(
            '<path class="axis" d="M{:.1f} {:.1f}H{:.1f}"/>'
            '<text class="name" x="{:.1f}" y="{:.1f}" text-anchor="end">{}</text>'
        ).format(left, bottom, right, right, frame.height - 6, x_label)
    )
    return Markup("").join(parts)


def tall_first(mark: Mark) -> int:
    """Return what sorts marks so that no line is drawn through the word of another."""
    return -mark.row


def draw_mark(frame: Frame, across: Scale, mark: Mark) -> Markup:
    """Return a dashed vertical line; its word stands on the side that has room."""
    share = across.place(mark.x)
    if not 0 <= share <= 1:
        return Markup("")
    x, (shift, anchor) = frame.x(share), (5, "start") if share < 0.7 else (-5, "end")
    top = frame.top - ROW * mark.row
    return Markup(
        '<path class="mark" d="M{:.1f} {:.1f}V{:.1f}"/>'
        '<text class="mark" x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>'
    ).format(x, top - 14, frame.y(0), x + shift, top - 6, anchor, mark.label)


def draw_line(frame: Frame, across: Scale, upward: Scale, series: Series) -> Markup:
    """Return the line in as many pieces as gaps leave it in; a lone point is a dot."""
    pieces = [
        [(frame.x(across.place(x)), frame.y(upward.place(y))) for x, y in group if y is not None]
        for has_value, group in groupby(series.points, lambda point: point[1] is not None)
        if has_value
    ]
    if not pieces:
        return Markup("")
    path = "".join(
        "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in piece) for piece in pieces if len(piece) > 1
    )
    dots = [piece[0] for piece in pieces[:-1] if len(piece) == 1] + [pieces[-1][-1]]
    line = Markup('<path class="{}" d="{}" stroke="{}" stroke-dasharray="{}"/>').format(
        "line faint" if series.faint else "line", path, series.css, series.dash
    )
    circles = [
        Markup('<circle class="dot" cx="{:.1f}" cy="{:.1f}" r="3.2" fill="{}"/>').format(
            x, y, series.css
        )
        for x, y in (() if series.faint else dots)
    ]
    return Markup("").join([line if path else Markup(""), *circles])


def read_out(
    chart: LineChart, frame: Frame, across: Scale, upward: Scale, series: Sequence[Series]
) -> str:
    """Return, as JSON, every point's place and words."""
    lines = [
        {
            "name": each.name,
            "color": each.css,
            "points": [
                [
                    x,
                    round(frame.x(across.place(x)), 1),
                    round(frame.y(upward.place(y)), 1),
                    value_text(y, chart),
                ]
                for x, y in each.points
                if y is not None
            ],
        }
        for each in series
    ]
    ends = [frame.top, frame.height - frame.bottom]
    return json.dumps({"x": chart.x_label, "ends": ends, "lines": lines}, separators=(",", ":"))


def thin(points: Sequence[Point], most: int) -> tuple[Point, ...]:
    """Return at most about ``most`` points: of each stretch, its lowest and its highest."""
    if len(points) <= most:
        return tuple(points)
    kept = {0, len(points) - 1}
    size = 2 * len(points) / most
    for number in range(most // 2):
        stretch = range(int(number * size), min(int((number + 1) * size), len(points)))
        valued = [(y, at) for at in stretch if (y := points[at][1]) is not None]
        if len(valued) < len(stretch):
            kept.add(next(at for at in stretch if points[at][1] is None))
        if valued:
            kept |= {min(valued)[1], max(valued)[1]}
    return tuple(points[at] for at in sorted(kept))


def bar_chart(name: str, title: str, bars: Sequence[Bar], words: str = "") -> Markup:
    """Return horizontal bars, each below its name; the longest reaches across."""
    width, row = 460, 42
    longest = max((bar.value for bar in bars), default=0.0) or 1.0
    parts = []
    for number, bar in enumerate(bars):
        y = number * row
        parts.append(
            Markup(
                '<g><title>{0}: {1}</title><text x="0" y="{2}">{3}</text>'
                '<text class="value" x="{4}" y="{2}" text-anchor="end">{1}</text>'
                '<rect class="track" x="0" y="{5}" width="{4}" height="7" rx="3.5"/>'
                '<rect x="0" y="{5}" width="{6:.1f}" height="7" rx="3.5" fill="{7}"/></g>'
            ).format(
                bar.label,
                bar.text,
                y + 18,
                cut(bar.label, 40),
                width,
                y + 26,
                max(7.0, width * bar.value / longest) if bar.value > 0 else 0.0,
                css_color(bar.color),
            )
        )
    spoken = "; ".join(f"{bar.label}: {bar.text}" for bar in bars[:MOST_BARS])
    left = f" and {count(len(bars) - MOST_BARS)} more" if len(bars) > MOST_BARS else ""
    beside = Markup('<span class="note">{}</span>').format(words) if words else Markup("")
    return Markup(
        '<figure class="chart" id="{}"><figcaption><span class="title">{}</span>{}</figcaption>'
        '<svg class="bars" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg></figure>'
    ).format(
        name,
        title,
        beside,
        width,
        max(row * len(bars), 1),
        f"{title}: {spoken}{left}",
        Markup("").join(parts),
    )


def css_color(number: int) -> str:
    """Return one of the page's colours, counted on and on."""
    return f"var(--s{number % COLORS + 1})"


def cut(text: str, most: int) -> str:
    """Return at most that many characters, with an ellipsis where some are left out."""
    return text if len(text) <= most else f"{text[: most - 1]}…"
