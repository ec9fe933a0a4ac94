"""Which lines a page draws from the course of one run or of several."""

from collections.abc import Callable, Sequence

from markupsafe import Markup

from convsmith.reporting.charts import LineChart, Mark, Point, Series, line_chart
from convsmith.reporting.history import Epoch, History, Reading
from convsmith.reporting.overview import Overview

__all__ = ["compared_curves", "learning_curves", "pace_curves"]

LOG_RATIO = 20  # losses that differ more are drawn in equal ratios
MEBI = 2.0**20

BLUE, ORANGE, GREEN = 0, 1, 2


def learning_curves(
    run: Overview, history: History, findings: tuple[Mark, ...] = ()
) -> tuple[Markup, ...]:
    """Return loss and accuracy by epoch, with marks; nothing before the first epoch has ended."""
    epochs = history.epochs
    if not epochs:
        return ()
    loss = [
        Series("training", by_epoch(epochs, lambda epoch: epoch.train_loss), ORANGE),
        Series("validation", by_epoch(epochs, lambda epoch: epoch.val_loss), BLUE),
    ]
    accuracy = [
        Series("training top-1", by_epoch(epochs, lambda epoch: epoch.train_top1), ORANGE),
        Series("validation top-1", by_epoch(epochs, lambda epoch: epoch.val_top1), BLUE),
    ]
    if run.ranked:
        top5 = by_epoch(epochs, lambda epoch: epoch.val_top5)
        accuracy.append(Series("validation top-5", top5, GREEN))
    marks = (*best_mark(run), *findings)
    return (
        line_chart(LineChart("loss", "Loss", "epoch", valued(loss), log=wide(loss), marks=marks)),
        line_chart(
            LineChart("accuracy", "Accuracy", "epoch", valued(accuracy), "share", marks=marks)
        ),
    )


def pace_curves(history: History) -> tuple[Markup, ...]:
    """Return learning rate, throughput and memory by step; nothing before the first reading."""
    if not history.readings:
        return ()
    marks = tuple(Mark(rollback.to, "rolled back") for rollback in history.rollbacks)
    charts = (
        ("learning-rate", "Learning rate", "", {"": lambda each: each.learning_rate}),
        ("throughput", "Throughput", "images/s", {"": lambda each: each.images_per_second}),
        (
            "memory",
            "Memory",
            "MiB",
            {
                "in use": lambda each: mebibytes(each.memory_bytes),
                "most so far": lambda each: mebibytes(each.memory_peak_bytes),
            },
        ),
    )
    return tuple(
        line_chart(
            LineChart(
                name,
                title,
                "step",
                valued(
                    [
                        Series(label or title, by_step(history.readings, value), color)
                        for color, (label, value) in enumerate(lines.items())
                    ]
                ),
                unit=unit,
                from_zero=True,
                marks=marks,
                small=True,
            )
        )
        for name, title, unit, lines in charts
    )


def compared_curves(runs: Sequence[tuple[str, History]]) -> tuple[Markup, ...]:
    """Return one line a run for each of validation loss, validation top-1 and training loss."""
    val_loss = each_run(runs, lambda epoch: epoch.val_loss)
    top1 = each_run(runs, lambda epoch: epoch.val_top1)
    train_loss = each_run(runs, lambda epoch: epoch.train_loss)
    charts = (
        LineChart("val-top1", "Validation top-1", "epoch", top1, "share"),
        LineChart("val-loss", "Validation loss", "epoch", val_loss, log=wide(val_loss)),
        LineChart("train-loss", "Training loss", "epoch", train_loss, log=wide(train_loss)),
    )
    return tuple(line_chart(chart) for chart in charts if chart.series)


def each_run(
    runs: Sequence[tuple[str, History]], value: Callable[[Epoch], float | None]
) -> tuple[Series, ...]:
    """Return the line of each run that has one; a run's colour is the same in all charts."""
    lines = [
        Series(name, by_epoch(history.epochs, value), color)
        for color, (name, history) in enumerate(runs)
    ]
    return valued(lines)


def by_epoch(epochs: Sequence[Epoch], value: Callable[[Epoch], float | None]) -> tuple[Point, ...]:
    """Return one point an epoch."""
    return tuple((epoch.epoch, value(epoch)) for epoch in epochs)


def by_step(
    readings: Sequence[Reading], value: Callable[[Reading], float | None]
) -> tuple[Point, ...]:
    """Return one point a reading."""
    return tuple((reading.step, value(reading)) for reading in readings)


def mebibytes(size: float | None) -> float | None:
    """Return bytes in MiB."""
    return None if size is None else size / MEBI


def valued(lines: Sequence[Series]) -> tuple[Series, ...]:
    """Return the lines that have a value."""
    return tuple(line for line in lines if any(y is not None for _, y in line.points))


def wide(lines: Sequence[Series]) -> bool:
    """Return whether values are so far apart that a linear axis would hide the small ones."""
    values = [y for line in lines for _, y in line.points if y is not None]
    return bool(values) and min(values) > 0 and max(values) / min(values) > LOG_RATIO


def best_mark(run: Overview) -> tuple[Mark, ...]:
    """Return the mark of the best epoch, where the run looked for one."""
    best = None if run.results is None else run.results.best_epoch
    return () if best is None else (Mark(best, "best"),)
