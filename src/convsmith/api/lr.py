"""Find a learning rate for a recipe: short sweeps of networks that are thrown away."""

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor, nn

from convsmith.api.progress import ProgressKind, choose_progress
from convsmith.api.report import target
from convsmith.api.train import Places
from convsmith.api.trial import Given, trial
from convsmith.data.images import Source
from convsmith.errors import UserError
from convsmith.insight.lr_finder import BREAK, FEWEST, MOST, RULES, Sweep, exponential, sweep
from convsmith.recipe.schema import Recipe
from convsmith.reporting.charts import LineChart, Mark, Series
from convsmith.reporting.picture import write_picture
from convsmith.training.fit import train_step
from convsmith.training.job import Job, State

__all__ = ["Found", "Suggestion", "lr"]

PathLike = str | os.PathLike[str]
WORDS = {"steepest": "steepest descent", "valley": "valley", "tenth": "minimum/10"}
CHOSEN = "valley"  # the rule whose rate is suggested; benchmarks/lr.py measures all three
WARMED = 3.0  # times that rate is borne after a warm-up; measured, see docs/results.md


@dataclass(frozen=True)
class Suggestion:
    """What one rule says: the geometric mean over the seeds, the lowest and the highest.

    They are None where the rule finds nothing with any seed.
    """

    rule: str
    rate: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Found:
    """What the sweeps came to; ``sets`` are the ``--set`` values that say what is suggested.

    ``warms_up`` says that the recipe's schedule begins with a small share of the rate; what is
    suggested is then WARMED times the chosen rule's, whose networks were at their beginning.
    """

    recipe: str
    network: str
    optimizer: str
    batch_size: int
    current: float
    suggested: float | None
    warms_up: bool
    sets: tuple[str, ...]
    suggestions: tuple[Suggestion, ...]
    sweeps: tuple[Sweep, ...]
    notes: tuple[str, ...]
    picture: Path


def lr(
    recipe: str | Path | Mapping[str, object],
    *,
    start: float = 1e-7,
    end: float = 10.0,
    steps: int = 100,
    seeds: int = 3,
    out: PathLike | None = None,
    model: str | nn.Module | None = None,
    data: str | Source | None = None,
    runs: PathLike | None = None,
    data_root: PathLike | None = None,
    progress: ProgressKind = "auto",
    flags: Mapping[str, object] | None = None,
    sets: Sequence[str] = (),
    **keywords: object,
) -> Found:
    """Let a recipe's learning rate grow until the loss breaks away, and suggest one.

    Every seed has a network of its own, so sweeps differ as runs do: in initial weights, order and
    augmentation. Steps are those of training, with the recipe's optimizer, precision, accumulation
    and clipping; all rates of an optimizer grow in proportion. Where a fine-tuning begins with the
    head alone, everything learns here. A network of your own is copied, and stays as it is.

    A sweep shows what a network bears at its beginning. Where the recipe's schedule warms up, three
    times that is suggested for its peak.

    Args:
        recipe: a preset's name, a recipe file, or a mapping of the same shape.
        start: the first rate.
        end: the last rate, if the loss does not break away before.
        steps: how many from the one to the other; batches come round as often as needed.
        seeds: how many sweeps.
        out: where the picture goes, an SVG; by default ``lr-NAME.svg`` in the working folder.
        model: the name of a network, or a network of your own.
        data: a data set's name, or data of your own, made by ``convsmith.own_source``.
        runs: the folder of runs, for a recipe that begins with a run's weights.
        data_root: where data sets lie.
        progress: ``auto``, ``bars``, ``lines`` or ``none``, on standard error.
        flags: what the command line's common options say, by option name.
        sets: ``path=value`` strings, as ``--set`` takes them.
        keywords: any recipe value by its short name.

    Raises:
        RecipeError: the recipe has mistakes; all are listed.
        UserError: the range makes no sense, or the recipe cannot be trained here.
        WriteError: the picture cannot be written.
    """
    require_range(start, end, steps, seeds)
    given = Given(recipe, model, data, flags, sets, keywords)
    picture = target(f"lr-{given.name}.svg" if out is None else out)
    if picture.suffix != ".svg":
        raise UserError(f"--out: the picture is an SVG; call it {picture.with_suffix('.svg')}")
    places = Places(runs, data_root, progress, choose_progress(progress))
    rates = exponential(start, end, steps)
    with trial(given, places) as ready:
        settled = ready.ready.recipe
        sweeps = []
        for seed in range(settled.seed, settled.seed + seeds):
            job, state = ready.job(seed)
            warms_up = job.schedule(0) < 1 / WARMED
            sweeps.append(sweep_once(job, state, rates))
            places.shown.say(f"seed {seed}: {told(sweeps[-1], rates)}")
    suggestions = tuple(summary(rule, sweeps) for rule in RULES)
    chosen = next(each for each in suggestions if each.rule == CHOSEN)
    suggested = None
    if chosen.rate is not None:
        suggested = float(f"{chosen.rate * (WARMED if warms_up else 1):.2g}")
    draw(picture, sweeps, suggestions, suggested)
    own = isinstance(model, nn.Module)
    return Found(
        recipe=given.name,
        network=type(model).__name__ if own else settled.model.name,
        optimizer=settled.optimizer.name,
        batch_size=settled.train.batch_size,
        current=settled.optimizer.options["learning_rate"],
        suggested=suggested,
        warms_up=warms_up,
        sets=() if suggested is None else tuple(rates_of(settled, suggested)),
        suggestions=suggestions,
        sweeps=tuple(sweeps),
        notes=tuple(notes(sweeps)),
        picture=picture,
    )


def require_range(start: float, end: float, steps: int, seeds: int) -> None:
    """Raise UserError for a range that is none."""
    if not 0 < start < end < math.inf:
        raise UserError(f"--start and --end must be 0 < start < end, got {start:g} and {end:g}")
    if not FEWEST <= steps <= MOST:
        raise UserError(f"--steps must be {FEWEST} to {MOST:,}, got {steps:,}")
    if seeds < 1:
        raise UserError(f"--seeds must be at least 1, got {seeds}")


def sweep_once(job: Job, state: State, rates: Sequence[float]) -> Sweep:
    """Train a new network with ascending rates."""
    base = job.base_rates[0]
    job = replace(job, schedule=lambda step: rates[step] / base)
    if job.phases is None:
        job.model.train()
    else:
        job.phases.begin(job.model, job.epochs - 1)  # when everything learns
    batches = endless(job)

    def step(rate: float) -> float:
        _, loss = train_step(job, state, *next(batches))
        state.step += 1
        return float(loss) if int(state.first_bad) < 0 else math.nan

    return sweep(step, rates)


def endless(job: Job) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield batches, going round the images as often as needed."""
    epoch = 0
    while True:
        yield from job.batches.epoch(epoch)
        epoch += 1


def told(found: Sweep, rates: Sequence[float]) -> str:
    """Return how a sweep ended, in words."""
    if len(found.losses) == len(rates):
        return f"{len(rates)} steps to {rates[-1]:.3g}, loss {found.smoothed[-1]:.3g}"
    return f"the loss broke away after {len(found.losses)} steps, at {rates[len(found.losses)]:.3g}"


def summary(rule: str, sweeps: Sequence[Sweep]) -> Suggestion:
    """Return what a rule says over all sweeps."""
    rates = [rate for each in sweeps if (rate := RULES[rule](each)) is not None]
    if not rates:
        return Suggestion(rule, None, None, None)
    mean = math.exp(sum(map(math.log, rates)) / len(rates))
    return Suggestion(rule, mean, min(rates), max(rates))


def rates_of(recipe: Recipe, suggested: float) -> Iterator[str]:
    """Yield the ``--set`` values of a rate; an optimizer's other rates keep their proportion."""
    options = recipe.optimizer.options
    factor = suggested / options["learning_rate"]
    for key, value in options.items():
        if key.endswith("learning_rate"):
            yield f"optimizer.{key}={float(f'{value * factor:.2g}'):g}"


def notes(sweeps: Sequence[Sweep]) -> Iterator[str]:
    """Yield what is odd about the sweeps."""
    if not all(each.fell for each in sweeps):
        yield "the loss did not fall: try a lower --start, or look at the data and the network"
    elif any(each.lowest == len(each.smoothed) - 1 for each in sweeps):
        yield "the loss still fell at the end: a higher --end would show more"
    elif any((RULES[CHOSEN](each) or math.inf) < 3 * each.rates[0] for each in sweeps):
        yield "the loss fell from the first rate on: a lower --start would show more"


def draw(
    path: Path, sweeps: Sequence[Sweep], suggestions: Sequence[Suggestion], suggested: float | None
) -> None:
    """Write the picture of all sweeps and of what is suggested."""
    drawn = [each for each in sweeps if each.losses]
    if not drawn:
        raise UserError("the loss was not finite at the first rate; try a lower --start")
    highest = BREAK * min(min(each.smoothed) for each in drawn)
    highest = 1.05 * max(highest, *(each.smoothed[0] for each in drawn))
    series = []
    for number, each in enumerate(drawn):
        for values, faint in ((each.losses, True), (each.smoothed, False)):
            shown = [y if y <= highest else None for y in values]
            points = tuple(zip(each.rates, shown, strict=True))
            series.append(Series(f"sweep {number + 1}", points, number, faint))
    known = [(each.rate, WORDS[each.rule]) for each in suggestions if each.rate is not None]
    marks = [
        Mark(rate, f"{words} {rate:.2g}", row)
        for row, (rate, words) in enumerate(sorted(known, reverse=True))
    ]
    title = "Loss by learning rate"
    if suggested is not None:
        title += f": {suggested:g} is suggested"
    chart = LineChart("lr", title, "learning rate", tuple(series), log_x=True, marks=tuple(marks))
    write_picture(path, chart)
