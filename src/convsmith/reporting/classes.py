"""The classes of a run: the confusion matrix, the table, and what there is to each class."""

from dataclasses import dataclass

from markupsafe import Markup

from convsmith.reporting.charts import Bar, bar_chart
from convsmith.reporting.gallery import ClassExamples, Examples, PairExamples, read_examples
from convsmith.reporting.heat_map import AS_GIVEN, LABELLED, MOST_CLASSES, heat_map
from convsmith.reporting.numbers import percent
from convsmith.reporting.scores import ClassScore, Scores, Total, read_scores, totals
from convsmith.reporting.sections import (
    Absent,
    ClassRow,
    Confusion,
    class_rows,
    commonest,
    read_confusion,
)
from convsmith.runs.folder import RunFolder

__all__ = ["ClassEntry", "Classes", "read_classes"]

ALIKE = "alike together"
OTHERS = 5  # classes that one is mixed up with, on each side


@dataclass(frozen=True)
class ClassEntry:
    """One class: its row of the table, and what is shown when it is opened.

    ``goes`` and ``comes`` are the classes that it is taken for and that are taken for it, with the
    numbers of images.
    """

    number: int
    row: ClassRow
    score: ClassScore | None
    goes: tuple[tuple[str, int], ...]
    comes: tuple[tuple[str, int], ...]
    examples: ClassExamples


@dataclass(frozen=True)
class Classes:
    """What the section shows; ``entries`` are the weakest classes first."""

    part: str
    picture: Markup | None
    mixes: Markup | None
    entries: tuple[ClassEntry, ...]
    scores: Scores | None
    totals: tuple[Total, ...]
    pairs: tuple[PairExamples, ...]
    problems: tuple[str, ...]


def read_classes(run: RunFolder) -> Classes | Absent:
    """Return what is known of the classes; only the confusion matrix must be there."""
    confusion = read_confusion(run)
    if isinstance(confusion, Absent):
        return confusion
    scores, examples = read_scores(run), read_examples(run, confusion)
    problems = [
        each.reason for each in (scores, examples) if isinstance(each, Absent) and each.damaged
    ]
    known = None if isinstance(scores, Absent) else scores
    shown = Examples(confusion.part, (), {}) if isinstance(examples, Absent) else examples
    rows = class_rows(confusion)
    return Classes(
        part=confusion.part,
        picture=picture(confusion, rows),
        mixes=mixes(confusion),
        entries=entries(confusion, rows, known, shown),
        scores=known,
        totals=() if known is None else totals(known),
        pairs=shown.pairs,
        problems=tuple(problems),
    )


def picture(confusion: Confusion, rows: tuple[ClassRow, ...]) -> Markup | None:
    """Return the confusion matrix in the orders that it has; many classes begin with alike ones."""
    size = len(confusion.classes)
    if size > MOST_CLASSES:
        return None
    orders = {AS_GIVEN: tuple(range(size)), "weakest first": tuple(row.number for row in rows)}
    if sorted(confusion.alike) == list(range(size)):
        orders[ALIKE] = confusion.alike
    chosen = ALIKE if size > LABELLED and ALIKE in orders else AS_GIVEN
    return heat_map("confusion", confusion.classes, confusion.matrix, orders, chosen)


def mixes(confusion: Confusion) -> Markup | None:
    """Return the commonest mistakes as bars."""
    bars = [
        Bar(f"{mix.true} → {mix.guess}", mix.images, f"{mix.images:,} ({percent(mix.share)})")
        for mix in commonest(confusion)
    ]
    if not bars:
        return None
    return bar_chart("mixes", "Most often mixed up", bars, "true → predicted")


def entries(
    confusion: Confusion, rows: tuple[ClassRow, ...], scores: Scores | None, examples: Examples
) -> tuple[ClassEntry, ...]:
    """Return the classes in the order of their rows."""
    by_name = {} if scores is None else {each.name: each for each in scores.classes}
    columns = tuple(zip(*confusion.matrix, strict=True))
    return tuple(
        ClassEntry(
            number=row.number,
            row=row,
            score=by_name.get(row.name),
            goes=others(confusion, row.number, confusion.matrix[row.number]),
            comes=others(confusion, row.number, columns[row.number]),
            examples=examples.classes.get(row.name, ClassExamples()),
        )
        for row in rows
    )


def others(confusion: Confusion, own: int, counts: tuple[int, ...]) -> tuple[tuple[str, int], ...]:
    """Return the other classes with the most images of a row or column, the most first."""
    found = [(images, -at) for at, images in enumerate(counts) if images and at != own]
    largest = sorted(found, reverse=True)[:OTHERS]
    return tuple((confusion.classes[-at], images) for images, at in largest)
