"""The course of a run, read from its ``metrics.jsonl``; what is damaged is left out and counted."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from convsmith.reporting.numbers import known
from convsmith.runs.folder import RunFolder

__all__ = ["Epoch", "Finer", "History", "Reading", "Rollback", "read_history"]


@dataclass(frozen=True)
class Epoch:
    """The end of an epoch; ``epoch`` counts those done. Accuracies are shares."""

    epoch: int
    step: int
    train_loss: float | None
    train_top1: float | None
    val_loss: float | None
    val_top1: float | None
    val_top5: float | None
    learning_rate: float | None
    seconds: float | None


@dataclass(frozen=True)
class Reading:
    """What was read while training, every few steps."""

    step: int
    loss: float | None
    learning_rate: float | None
    images_per_second: float | None
    memory_bytes: float | None
    memory_peak_bytes: float | None


@dataclass(frozen=True)
class Finer:
    """A step in which memory ran out, and the micro-batches of a batch from it on."""

    step: int
    accumulate: int
    images: int


@dataclass(frozen=True)
class Rollback:
    """A step that was not finite, the one gone back to, and where the first bad value arose."""

    step: int
    to: int
    where: str


@dataclass(frozen=True)
class History:
    """All events in order, without those that a rollback undid; ``damaged`` lines were left out."""

    epochs: tuple[Epoch, ...]
    readings: tuple[Reading, ...]
    rollbacks: tuple[Rollback, ...]
    finer: tuple[Finer, ...]
    damaged: int

    @property
    def epochs_done(self) -> int:
        """Return how many epochs have ended."""
        return self.epochs[-1].epoch if self.epochs else 0

    @property
    def steps_done(self) -> int:
        """Return the newest step that was logged."""
        steps = [self.epochs[-1].step] if self.epochs else []
        return max([*steps, *(reading.step for reading in self.readings[-1:])], default=0)


def read_history(run: RunFolder) -> History:
    """Read a run's metrics; a last line that is still being written is no damage."""
    try:
        lines = run.metrics.read_bytes().split(b"\n")[:-1]
    except FileNotFoundError:
        return History((), (), (), (), 0)
    except OSError:
        return History((), (), (), (), 1)
    epochs: dict[int, Epoch] = {}
    readings: dict[int, Reading] = {}
    rollbacks: list[Rollback] = []
    finer: list[Finer] = []
    damaged = 0
    for line in lines:
        event = read_line(line)
        kind, step = event.get("event"), whole(event.get("step"))
        if step is None:
            damaged += 1
        elif kind == "step":
            readings[step] = to_reading(step, event)
        elif kind == "epoch" and (number := whole(event.get("epoch"))) is not None:
            epochs[number] = to_epoch(number, step, event)
        elif kind == "out_of_memory":
            accumulate, images = whole(event.get("accumulate")), whole(event.get("images"))
            finer.append(Finer(step, accumulate or 0, images or 0))
        elif kind == "rollback":
            rollback = Rollback(step, whole(event.get("to")) or 0, str(event.get("where", "")))
            rollbacks.append(rollback)
            readings = {at: each for at, each in readings.items() if at <= rollback.to}
            epochs = {at: each for at, each in epochs.items() if each.step <= rollback.to}
    return History(
        epochs=tuple(epochs[number] for number in sorted(epochs)),
        readings=tuple(readings[step] for step in sorted(readings)),
        rollbacks=tuple(rollbacks),
        finer=tuple(finer),
        damaged=damaged,
    )


def read_line(line: bytes) -> Mapping[str, Any]:
    """Return one event; nothing for a line that holds none."""
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return event if isinstance(event, dict) else {}


def to_reading(step: int, event: Mapping[str, Any]) -> Reading:
    """Return the reading that an event holds."""
    return Reading(
        step=step,
        loss=known(event.get("loss")),
        learning_rate=known(event.get("learning_rate")),
        images_per_second=known(event.get("images_per_second")),
        memory_bytes=known(event.get("memory_bytes")),
        memory_peak_bytes=known(event.get("memory_peak_bytes")),
    )


def to_epoch(number: int, step: int, event: Mapping[str, Any]) -> Epoch:
    """Return the end of an epoch that an event holds."""
    train, val = mapping(event.get("train")), mapping(event.get("val"))
    return Epoch(
        epoch=number,
        step=step,
        train_loss=known(train.get("loss")),
        train_top1=known(train.get("top1")),
        val_loss=known(val.get("loss")),
        val_top1=known(val.get("top1")),
        val_top5=known(val.get("top5")),
        learning_rate=known(event.get("learning_rate")),
        seconds=known(event.get("seconds")),
    )


def mapping(value: object) -> Mapping[str, Any]:
    """Return a mapping as it is, and an empty one for anything else."""
    return value if isinstance(value, dict) else {}


def whole(value: object) -> int | None:
    """Return a count as an integer, and None for anything else."""
    number = known(value)
    return None if number is None or number < 0 else int(number)
