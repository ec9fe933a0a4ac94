"""How a training shows itself while it runs: bars on a terminal, lines in a pipe, or nothing."""

import math
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, Protocol

from convsmith.errors import UserError
from convsmith.training.fit import EpochEnd

__all__ = [
    "Bars",
    "Lines",
    "Pace",
    "Progress",
    "ProgressKind",
    "Silence",
    "choose_progress",
    "ticking",
]

ProgressKind = Literal["auto", "bars", "lines", "none"]


@dataclass(frozen=True)
class Pace:
    """Where a training is, read at the log cadence."""

    step: int  # steps done in this epoch
    loss: float
    top1: float  # running, over this epoch's images so far
    images_per_second: float
    memory_bytes: int
    memory_peak_bytes: int


@dataclass(frozen=True)
class Outlook:
    """How long a training is."""

    epochs: int
    steps_per_epoch: int
    total_steps: int
    steps_done: int


class Progress(Protocol):
    """Something that shows a training."""

    def begin(self, outlook: Outlook) -> None:
        """Start showing."""

    def pace(self, epoch: int, pace: Pace) -> None:
        """Show the step that was just read; ``epoch`` counts from 1."""

    def epoch(self, end: EpochEnd, validation: str, seconds_left: float) -> None:
        """Show a finished epoch; ``validation`` is a ready phrase, perhaps empty."""

    def say(self, text: str) -> None:
        """Show one line of text."""

    def end(self) -> None:
        """Stop showing."""


class Silence:
    """Shows nothing."""

    def begin(self, outlook: Outlook) -> None:
        """Do nothing."""

    def pace(self, epoch: int, pace: Pace) -> None:
        """Do nothing."""

    def epoch(self, end: EpochEnd, validation: str, seconds_left: float) -> None:
        """Do nothing."""

    def say(self, text: str) -> None:
        """Do nothing."""

    def end(self) -> None:
        """Do nothing."""


class Lines(Silence):
    """Plain lines on standard error, for pipes and log files: one an epoch, at least one a minute.

    Args:
        every: seconds without a line after which a step is shown.
    """

    def __init__(self, every: float = 60) -> None:
        self._every = every
        self._outlook = Outlook(0, 0, 0, 0)
        self._last = 0.0

    def begin(self, outlook: Outlook) -> None:
        """Remember how long the training is."""
        self._outlook = outlook
        self._last = time.monotonic()

    def pace(self, epoch: int, pace: Pace) -> None:
        """Print the step that was just read, if nothing was printed for long."""
        if time.monotonic() - self._last < self._every:
            return
        self.say(
            f"epoch {epoch}/{self._outlook.epochs}  "
            f"step {pace.step:,}/{self._outlook.steps_per_epoch:,}  {reading(pace)}"
        )

    def epoch(self, end: EpochEnd, validation: str, seconds_left: float) -> None:
        """Print the epoch."""
        epochs = self._outlook.epochs
        left = f"  {duration(seconds_left)} left" if end.epoch < epochs else ""
        self.say(f"{epoch_line(end, epochs)}{validation}{left}")

    def say(self, text: str) -> None:
        """Print the text."""
        print(text, file=sys.stderr, flush=True)
        self._last = time.monotonic()


class Bars:
    """Two bars on a terminal: this epoch and the whole run."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeRemainingColumn(compact=True),
            TextColumn("{task.fields[reading]}"),
            console=Console(stderr=True, highlight=False),
            transient=True,
        )
        self._epoch = self._bars.add_task("epoch", reading="", start=False)
        self._run = self._bars.add_task("run", reading="", start=False)
        self._outlook = Outlook(0, 0, 0, 0)

    def begin(self, outlook: Outlook) -> None:
        """Draw the bars."""
        self._outlook = outlook
        self._bars.start()
        self._bars.start_task(self._epoch)
        self._bars.start_task(self._run)
        per_epoch = outlook.steps_per_epoch
        done_here = outlook.steps_done % per_epoch
        self._bars.update(self._epoch, total=per_epoch, completed=done_here)
        self._bars.update(self._run, total=outlook.total_steps, completed=outlook.steps_done)

    def pace(self, epoch: int, pace: Pace) -> None:
        """Move both bars."""
        name = f"epoch {epoch}/{self._outlook.epochs}"
        self._bars.update(self._epoch, description=name, completed=pace.step, reading=reading(pace))
        done = (epoch - 1) * self._outlook.steps_per_epoch + pace.step
        self._bars.update(self._run, completed=done)

    def epoch(self, end: EpochEnd, validation: str, seconds_left: float) -> None:
        """Print the epoch above the bars and begin the next."""
        self.say(f"{epoch_line(end, self._outlook.epochs)}{validation}")
        self._bars.reset(self._epoch, total=self._outlook.steps_per_epoch, reading="")

    def say(self, text: str) -> None:
        """Print the text above the bars."""
        self._bars.console.print(text, markup=False, soft_wrap=True)

    def end(self) -> None:
        """Take the bars away."""
        self._bars.stop()


@contextmanager
def ticking(kind: ProgressKind) -> Iterator[Callable[[str], None]]:
    """Yield what shows how far a long reading is: one line that changes, on a terminal.

    Elsewhere it is a line every ten seconds.
    """
    if kind == "auto":
        kind = "bars" if sys.stderr.isatty() else "lines"
    last = -math.inf

    def show(text: str) -> None:
        nonlocal last
        if kind == "bars":
            width = shutil.get_terminal_size().columns - 1
            print(f"\r\x1b[K{text[:width]}", end="", file=sys.stderr, flush=True)
        elif kind == "lines" and time.monotonic() - last > 10:
            last = time.monotonic()
            print(text, file=sys.stderr, flush=True)

    try:
        yield show
    finally:
        if kind == "bars":
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def choose_progress(kind: ProgressKind) -> Progress:
    """Return the progress of that kind; ``auto`` is bars on a terminal and lines elsewhere."""
    if kind == "auto":
        kind = "bars" if sys.stderr.isatty() else "lines"
    kinds: dict[str, Callable[[], Progress]] = {"bars": Bars, "lines": Lines, "none": Silence}
    if kind not in kinds:
        raise UserError(f"progress must be auto, bars, lines or none, got {kind!r}")
    return kinds[kind]()


def reading(pace: Pace) -> str:
    """Return the words for a step that was read."""
    return (
        f"loss {pace.loss:.4f}  top-1 {pace.top1:.2%}  "
        f"{pace.images_per_second:,.0f} images/s  {pace.memory_bytes / 2**30:.2f} GiB "
        f"(most {pace.memory_peak_bytes / 2**30:.2f})"
    )


def epoch_line(end: EpochEnd, epochs: int) -> str:
    """Return the words for a finished epoch."""
    width = len(str(epochs))
    return f"epoch {end.epoch:>{width}}/{epochs}  train loss {end.loss:.4f}  top-1 {end.top1:.2%}"


def duration(seconds: float) -> str:
    """Return ``42 s``, ``3 min 20 s`` or ``1 h 05 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
