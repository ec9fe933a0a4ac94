"""The figures at the top of a run's page, and the sentences about what went wrong."""

from dataclasses import dataclass

from convsmith.reporting.history import History
from convsmith.reporting.numbers import bytes_text, count, duration, percent, short
from convsmith.reporting.overview import Overview
from convsmith.runs.results import Results

__all__ = ["Tile", "headline", "notices", "progress", "tiles"]


@dataclass(frozen=True)
class Tile:
    """One figure with its name and a few words to it."""

    label: str
    value: str
    note: str = ""


def headline(run: Overview, history: History) -> Tile:
    """Return the one figure to see first: the test accuracy, or how far the run has come."""
    if run.results is not None:
        test = run.results.test
        wrong = round((1 - test.top1) * test.images)
        return Tile("Test top-1", percent(test.top1), f"{wrong:,} of {test.images:,} images wrong")
    planned = "" if run.planned is None else f" of {run.planned:,}"
    done = f"{history.epochs_done:,}{planned}"
    if run.state == "running":
        return Tile("Epochs done", done, f"still training, at step {history.steps_done:,}")
    if run.state == "damaged":
        return Tile("Epochs done", done, "the results cannot be read")
    return Tile("Epochs done", done, f"stopped at step {history.steps_done:,}, no results")


def progress(run: Overview, history: History) -> float | None:
    """Return the share of the epochs that is done, for a run that has not come to its end."""
    if run.state not in ("running", "stopped") or not run.planned:
        return None
    return min(1.0, history.epochs_done / run.planned)


def tiles(run: Overview, history: History) -> tuple[Tile, ...]:
    """Return the other figures."""
    return early(history) if run.results is None else final(run, run.results)


def final(run: Overview, results: Results) -> tuple[Tile, ...]:
    """Return the figures of a finished run."""
    test, val = results.test, results.val
    found = [
        Tile("Test top-5", percent(test.top5)) if run.ranked else None,
        Tile("Test loss", short(test.loss)),
        Tile("Weakest class", percent(results.per_class.min), "test top-1"),
        Tile("Validation top-1", percent(val.top1), f"loss {short(val.loss)}")
        if val is not None
        else Tile("Validation", "none", "trained on all images"),
        Tile("Epochs", count(results.epochs), epochs_note(run, results)),
        Tile("Training time", duration(results.seconds), f"{results.steps:,} steps"),
        Tile(
            "Images a second",
            count(results.images_per_second),
            f"{count(results.eval_images_per_second)} in evaluation",
        ),
        Tile("Parameters", count(results.parameters)),
        Tile("Weights file", bytes_text(results.model_bytes), weights_note(results)),
        Tile("Peak memory", bytes_text(results.peak_memory_bytes)),
    ]
    return tuple(tile for tile in found if tile is not None)


def epochs_note(run: Overview, results: Results) -> str:
    """Return whether the run ended early, and its best epoch."""
    planned = run.planned or results.epochs
    early = f"ended early, of {planned:,}" if results.epochs < planned else ""
    best = "" if results.best_epoch is None else f"best was {results.best_epoch:,}"
    return ", ".join(filter(None, [early, best]))


def weights_note(results: Results) -> str:
    """Return which weights were kept."""
    averaged = ", averaged" if results.averaged else ""
    return f"of the {results.weights} epoch{averaged}"


def early(history: History) -> tuple[Tile, ...]:
    """Return what is known before the end."""
    if not history.epochs:
        return ()
    newest = history.epochs[-1]
    best = max(
        (epoch.val_top1 for epoch in history.epochs if epoch.val_top1 is not None), default=None
    )
    speeds = [each.images_per_second for each in history.readings]
    found = [
        Tile("Training loss", short(newest.train_loss), "newest epoch"),
        Tile("Training top-1", percent(newest.train_top1), "newest epoch"),
        Tile("Validation top-1", percent(newest.val_top1), f"best so far {percent(best)}")
        if best is not None
        else None,
        Tile("Training time", duration(newest.seconds), "so far"),
        Tile("Images a second", count(speeds[-1]), "newest reading") if speeds else None,
    ]
    return tuple(tile for tile in found if tile is not None)


def notices(run: Overview, history: History) -> tuple[str, ...]:
    """Return sentences about files that are damaged and steps that were not finite."""
    found = list(run.problems)
    if history.damaged:
        noun = "line" if history.damaged == 1 else "lines"
        found.append(f"metrics.jsonl is damaged: {history.damaged:,} {noun} could not be read.")
    for rollback in history.rollbacks:
        where = f", first {rollback.where}" if rollback.where else ""
        found.append(
            f"Step {rollback.step:,} was not finite{where}. Training went back to step "
            f"{rollback.to:,} with a lower learning rate."
        )
    for finer in history.finer:
        found.append(
            f"Memory ran out in step {finer.step:,}, which was made again. From it on each batch "
            f"is made of {finer.accumulate:,} micro-batches of up to {finer.images:,} images."
        )
    return tuple(found)
