"""A chart as a picture file of its own: an SVG that any viewer shows."""

import re
from dataclasses import replace
from pathlib import Path

from markupsafe import Markup

from convsmith.errors import WriteError
from convsmith.reporting.charts import ROW, WIDE, LineChart, Series, draw_body
from convsmith.reporting.scales import linear_scale, log_scale, spread_scale
from convsmith.runs.folder import write_atomically

__all__ = ["write_picture"]

# Pages define their colours, light and dark; a file has ink on paper, and viewers know no variables
COLOURS = ("#2458c5", "#c8500a", "#1e7d50", "#8445bc", "#b32652", "#0b7c8c", "#8a6d00", "#5f6873")
STYLE = """
text { font: 13px "Segoe UI", "Helvetica Neue", "Noto Sans", "Liberation Sans", Arial, sans-serif;
  fill: #5c626c; }
text.title { font-size: 16px; font-weight: 650; fill: #1b1d21; }
text.name { font-weight: 600; }
.grid { stroke: #eeeeea; fill: none; }
.axis, .tick { stroke: #c9c9c3; fill: none; }
path.mark { stroke: #5c626c; stroke-dasharray: 2 4; fill: none; }
text.mark { fill: #1b1d21; paint-order: stroke; stroke: #ffffff; stroke-width: 5px; }
.line { fill: none; stroke-width: 2; stroke-linejoin: round; stroke-linecap: round; }
.line.faint { stroke-width: 1; opacity: 0.35; }
"""
TITLE, LEGEND, EDGE = 40, 22, 16  # the heights of the title and of a row, and the margin


def write_picture(path: Path, chart: LineChart) -> Path:
    """Write a line chart with its title and legend as an SVG file, whole or not at all.

    Raises:
        WriteError: the place cannot be written.
    """
    try:
        write_atomically(path, to_svg(chart))
    except OSError as error:
        raise WriteError(f"cannot write {path}: {error.strerror or error}") from error
    return path


def to_svg(chart: LineChart) -> str:
    """Return a chart as SVG text."""
    rows = max((mark.row for mark in chart.marks), default=0)
    named = [each for each in chart.series if not each.faint]
    frame = replace(WIDE, width=760)
    words, lines = legend(named, frame.width)
    above = TITLE + LEGEND * lines + ROW * rows + 22
    frame = replace(frame, height=380 + above, top=above)
    values = [y for each in chart.series for _, y in each.points if y is not None]
    places = [x for each in chart.series for x, _ in each.points]
    across = log_scale(places) if chart.log_x else spread_scale(places)
    body = draw_body(chart, frame, across, linear_scale(values, chart.kind), chart.series)
    svg = Markup(
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {0} {1}" width="{0}" height="{1}">'
        "<title>{2}</title><style>{3}</style>"
        '<rect width="{0}" height="{1}" fill="#ffffff"/>'
        '<text class="title" x="16" y="28">{2}</text>{4}{5}</svg>\n'
    ).format(frame.width, frame.height, chart.title, Markup(STYLE), words, body)
    return re.sub(r"var\(--s(\d)\)", lambda found: COLOURS[int(found[1]) - 1], str(svg))


def legend(series: list[Series], width: int) -> tuple[Markup, int]:
    """Return the names of the lines, each with a piece of its line, and in how many rows."""
    wide = 48 + 7 * max(len(each.name) for each in series) if series else width
    columns = max(1, (width - EDGE) // wide)
    parts = []
    for number, each in enumerate(series):
        x, y = EDGE + number % columns * wide, TITLE + number // columns * LEGEND
        parts.append(
            Markup(
                '<path class="line" d="M{0} {1}h18" stroke="{2}" stroke-dasharray="{3}"/>'
                '<text x="{4}" y="{5}">{6}</text>'
            ).format(x, y + 9, each.css, each.dash, x + 24, y + 14, each.name)
        )
    return Markup("").join(parts), max(1, -(-len(series) // columns))
