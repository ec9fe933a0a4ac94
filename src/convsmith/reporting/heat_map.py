"""A confusion matrix as a picture: what is right in one colour, mistakes in another.

It is drawn once here; the page's script draws it again in another order, or by the other side.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt

from markupsafe import Markup

from convsmith.reporting.charts import cut
from convsmith.reporting.numbers import percent

__all__ = ["AS_GIVEN", "LABELLED", "MOST_CLASSES", "heat_map"]

MOST_CLASSES = 200  # more are no longer seen
LABELLED = 25  # with more, names are shown under the pointer only
# Shades from which a number is read more easily in the other colour: on dark pages, on light ones.
DEEP, DEEPEST = 0.57, {"right": 0.77, "wrong": 0.92}
COUNTED = 12  # with more, counts are shown under the pointer only
LONGEST_LABEL = 14
LEVELS = 12
WIDTH = 480
AS_GIVEN = "as in the data"


@dataclass(frozen=True)
class Grid:
    """Where the cells are: the corner of the first, and how large one is with its gap."""

    left: float
    top: float
    cell: float
    gap: float


def heat_map(
    name: str,
    classes: Sequence[str],
    matrix: Sequence[Sequence[int]],
    orders: Mapping[str, Sequence[int]] | None = None,
    chosen: str = AS_GIVEN,
) -> Markup:
    """Return a figure of a square matrix whose rows are true classes and columns predictions.

    Shades are shares of a row; mistakes have a scale of their own, or none would be seen.

    Args:
        name: its id in the page.
        classes: their names.
        matrix: the counts.
        orders: of the classes, by what they are called; the person chooses.
        chosen: the order that is drawn at first.
    """
    size = len(classes)
    orders = {AS_GIVEN: range(size)} if orders is None else orders
    order = orders[chosen]
    names = [classes[at] for at in order]
    counts = [[matrix[true][guess] for guess in order] for true in order]
    grid, worst = lay_out(names), worst_share(counts)
    below = label_room(names) * 0.72 + 24 if size <= LABELLED else 26
    height = grid.top + size * grid.cell + below
    data = {
        "classes": list(classes),
        "rows": [list(row) for row in matrix],
        "orders": {each: list(places) for each, places in orders.items()},
        "order": chosen,
        **script_data(grid),
    }
    return Markup(
        '<figure class="chart" id="{}">{}<div class="plot"><svg class="heat{}"'
        ' viewBox="0 0 {} {:.1f}" role="img" tabindex="0" aria-label="{}" data-chart="{}">{}</svg>'
        '<div class="readout" hidden></div></div>{}</figure>'
    ).format(
        name,
        controls(orders, chosen),
        "" if size <= COUNTED else " many",
        WIDTH,
        height,
        spoken(counts),
        json.dumps(data, separators=(",", ":")),
        draw(grid, names, counts, worst, height),
        key(worst),
    )


def script_data(grid: Grid) -> dict[str, object]:
    """Return what the page's script needs to draw cells as they are drawn here."""
    return {
        "left": round(grid.left, 2),
        "top": round(grid.top, 2),
        "cell": round(grid.cell, 4),
        "gap": grid.gap,
        "levels": LEVELS,
        "deep": {kind: [DEEP, deepest] for kind, deepest in DEEPEST.items()},
    }


def spoken(matrix: Sequence[Sequence[int]]) -> str:
    """Return what is said of the picture to those who do not see it."""
    size, total = len(matrix), sum(map(sum, matrix))
    if not total:
        return f"Confusion matrix of {size} classes without an image"
    right = sum(matrix[at][at] for at in range(size))
    return f"Confusion matrix of {size} classes: {right:,} of {total:,} images right"


def draw(
    grid: Grid,
    classes: Sequence[str],
    matrix: Sequence[Sequence[int]],
    worst: float,
    height: float,
) -> Markup:
    """Return the parts of the drawing, those that lie below first."""
    size = len(classes)
    return Markup("").join(
        [
            draw_ground(grid, size),
            *draw_cells(grid, matrix, worst),
            *(draw_counts(grid, matrix, worst) if size <= COUNTED else ()),
            *(draw_labels(grid, classes) if size <= LABELLED else ()),
            draw_names(grid, size, height),
            draw_cursor(grid),
        ]
    )


def controls(orders: Mapping[str, Sequence[int]], chosen: str) -> Markup:
    """Return the buttons of the orders and sides; without the page's script they are not shown."""
    if len(orders) < 2:
        return Markup("")
    order = buttons("Order", "order", orders, chosen)
    return Markup('<div class="choices" hidden>{}{}</div>').format(
        order, buttons("Shares of the", "side", ("true class", "predicted class"), "true class")
    )


def buttons(label: str, kind: str, names: Iterable[str], chosen: str) -> Markup:
    """Return one group of buttons of which one is pressed."""
    each = Markup("").join(
        Markup('<button type="button" data-{}="{}" aria-pressed="{}">{}</button>').format(
            kind, name, "true" if name == chosen else "false", name
        )
        for name in names
    )
    return Markup('<div role="group" aria-label="{0}"><span>{0}</span>{1}</div>').format(
        label, each
    )


def lay_out(classes: Sequence[str]) -> Grid:
    """Return the grid that fills the width, with room for names where they are shown."""
    size = len(classes)
    left = 26 + (label_room(classes) if size <= LABELLED else 0)
    cell = (WIDTH - left - 4) / max(size, 3)
    return Grid(left, 4, cell, 1.5 if size <= LABELLED else 0)


def label_room(classes: Sequence[str]) -> float:
    """Return the width of the longest name as it is shown."""
    return 12 + 6.4 * min(LONGEST_LABEL, max(map(len, classes), default=0))


def worst_share(matrix: Sequence[Sequence[int]]) -> float:
    """Return the largest share of a row that is one mistake."""
    return max(
        (
            images / sum(row)
            for true, row in enumerate(matrix)
            for guess, images in enumerate(row)
            if images and guess != true
        ),
        default=0.0,
    )


def shade(matrix: Sequence[Sequence[int]], true: int, guess: int, worst: float) -> float:
    """Return how dark a cell is, from 0 for none to 1."""
    images = matrix[true][guess]
    if not images:
        return 0.0
    share = images / sum(matrix[true])
    return share if true == guess else sqrt(share / worst)


def draw_ground(grid: Grid, size: int) -> Markup:
    """Return the field that empty cells show."""
    return Markup(
        '<rect class="ground" x="{0:.2f}" y="{1:.2f}" width="{2:.2f}" height="{2:.2f}"/>'
    ).format(grid.left, grid.top, size * grid.cell - grid.gap)


def draw_cells(grid: Grid, matrix: Sequence[Sequence[int]], worst: float) -> list[Markup]:
    """Return one path for each shade, so that a hundred classes stay a small drawing."""
    paths: dict[tuple[str, int], list[str]] = defaultdict(list)
    side = grid.cell - grid.gap
    for true, row in enumerate(matrix):
        for guess, images in enumerate(row):
            if images:
                level = max(1, round(LEVELS * shade(matrix, true, guess, worst)))
                x, y = grid.left + guess * grid.cell, grid.top + true * grid.cell
                square = f"M{x:.2f} {y:.2f}h{side:.2f}v{side:.2f}h-{side:.2f}z"
                paths["right" if true == guess else "wrong", level].append(square)
    return [
        Markup('<path class="{}" fill-opacity="{:.3f}" d="{}"/>').format(
            kind, 0.08 + 0.92 * level / LEVELS, "".join(squares)
        )
        for (kind, level), squares in sorted(paths.items())
    ]


def draw_counts(grid: Grid, matrix: Sequence[Sequence[int]], worst: float) -> list[Markup]:
    """Return the numbers of images, written so that they can be read on their cell."""
    middle = (grid.cell - grid.gap) / 2
    return [
        Markup(
            '<text class="count{}" x="{:.1f}" y="{:.1f}" dy=".35em" text-anchor="middle">{}</text>'
        ).format(
            depth(shade(matrix, true, guess, worst), "right" if true == guess else "wrong"),
            grid.left + guess * grid.cell + middle,
            grid.top + true * grid.cell + middle,
            images,
        )
        for true, row in enumerate(matrix)
        for guess, images in enumerate(row)
        if images
    ]


def depth(shaded: float, kind: str) -> str:
    """Return the classes of a number on a cell of that shade."""
    if shaded > DEEPEST[kind]:
        return " deep deepest"
    return " deep" if shaded > DEEP else ""


def draw_labels(grid: Grid, classes: Sequence[str]) -> list[Markup]:
    """Return the names of the classes on both sides."""
    middle = (grid.cell - grid.gap) / 2
    bottom = grid.top + len(classes) * grid.cell
    flat = max(map(len, classes)) * 7 <= grid.cell
    parts = []
    for at, name in enumerate(classes):
        shown = cut(name, LONGEST_LABEL)
        along = at * grid.cell + middle
        parts.append(
            Markup(
                '<text class="row" x="{:.1f}" y="{:.1f}" dy=".35em" text-anchor="end">{}</text>'
            ).format(grid.left - 7, grid.top + along, shown)
        )
        x, y = grid.left + along, bottom + (15 if flat else 10)
        turn = Markup("") if flat else Markup(' transform="rotate(-45 {:.1f} {:.1f})"').format(x, y)
        parts.append(
            Markup(
                '<text class="column" x="{:.1f}" y="{:.1f}" text-anchor="{}"{}>{}</text>'
            ).format(x, y, "middle" if flat else "end", turn, shown)
        )
    return parts


def draw_names(grid: Grid, size: int, height: float) -> Markup:
    """Return what the two sides are called."""
    middle = size * grid.cell / 2
    return Markup(
        '<text class="name" x="{0:.1f}" y="{1:.1f}" text-anchor="middle">predicted</text>'
        '<text class="name" x="12" y="{2:.1f}" text-anchor="middle"'
        ' transform="rotate(-90 12 {2:.1f})">true</text>'
    ).format(grid.left + middle, height - 4, grid.top + middle)


def draw_cursor(grid: Grid) -> Markup:
    """Return the frame around the cell under the pointer, which the page's script moves."""
    side = grid.cell - grid.gap
    return Markup(
        '<rect class="cursor" visibility="hidden" width="{0:.2f}" height="{0:.2f}"/>'
    ).format(side)


def key(worst: float) -> Markup:
    """Return what the two colours mean."""
    wrong = (
        Markup(
            '<li><span class="swatch wrong"></span><span>wrong, strongest at '
            '<span class="worst">{}</span></span></li>'
        ).format(percent(worst))
        if worst
        else Markup("<li>no mistakes</li>")
    )
    return Markup(
        '<ul class="legend"><li><span class="swatch right"></span>right</li>{}'
        '<li><span>share of the images of the <span class="side">true class</span></span></li></ul>'
    ).format(wrong)
