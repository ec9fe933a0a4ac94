"""Ways to make the same batches, with their memory and time: the smaller, usually the slower."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch
from torch import nn
from torch.optim import Optimizer

from convsmith.planning.estimate import Memory, held_bytes, memory_of, seconds_of, waiting
from convsmith.planning.machine import Machine
from convsmith.planning.trace import Trace, trace
from convsmith.training.recompute import stages_of

__all__ = ["Choice", "Steps", "choices"]

SPLITS = (1, 2, 4, 8)


@dataclass(frozen=True)
class Choice:
    """One way; ``best`` where none is both faster and smaller. ``memory`` in bytes."""

    precision: str
    accumulate: int
    micro_batch: int
    gradient_checkpointing: str
    memory: int
    step_seconds: float
    fits: bool
    best: bool = False


@dataclass(frozen=True)
class Steps:
    """A network's training step, traced once for each way of making it."""

    model: nn.Module
    make_optimizer: Callable[[nn.Module], Optimizer]
    image: tuple[int, int, int]
    batch: int
    memory_format: torch.memory_format
    average: bool  # a moving average of the weights is kept
    data: int  # bytes of images in memory
    held: bool  # under a limit, where freed memory is given back at once
    made: dict[tuple[str, bool, int], Trace] = field(default_factory=dict)

    def trace(
        self, precision: str, accumulate: int, *, recompute: bool, only_step: bool = False
    ) -> Trace:
        """Return the trace of a micro-batch; with ``recompute`` all stages are computed again."""
        key = (precision, recompute, accumulate)
        if key not in self.made:
            self.made[key] = trace(
                self.model,
                self.make_optimizer,
                self.image,
                -(-self.batch // accumulate),
                precision=precision,
                memory_format=self.memory_format,
                recompute=stages_of(self.model) if recompute else (),
                only_step=only_step,
            )
        return self.made[key]

    def memory(self, made: Trace, machine: Machine) -> Memory:
        """Return what a training with such a step takes on a machine."""
        return memory_of(made, machine, average=self.average, data=self.data, held=self.held)


def choices(
    steps: Steps, machine: Machine, asked: str, accumulate: int, room: int | None
) -> list[Choice]:
    """Return the ways, the fastest first, in fp32, in what is asked for and in the machine's best.

    ``accumulate`` is the least number of micro-batches. Smaller ones are not traced: what grows
    with them is divided, and each costs what its operations take before they do anything once more.
    """
    found = []
    for precision in dict.fromkeys(("fp32", asked, machine.precision)):
        for recompute in (False, True) if stages_of(steps.model) else (False,):
            made = steps.trace(precision, accumulate, recompute=recompute, only_step=True)
            seconds = seconds_of(made, machine, accumulate).step
            total = steps.memory(made, machine).training
            grown = held_bytes(made, machine, held=steps.held)
            moving = grown * max(0.0, 1 - (made.weights + made.optimizer) / made.training_peak)
            repeated = [each for each in made.step if each.phase != "update"]
            starting = sum(waiting(each, machine) for each in repeated)
            for split in SPLITS:
                count = accumulate * split
                if split > 1 and steps.batch % count:
                    continue
                needed = int(total - moving * (1 - 1 / split))
                again = (split - 1) * accumulate * starting
                words = "all" if recompute else "none"
                fits = room is None or needed <= room
                micro = -(-steps.batch // count)
                found.append(Choice(precision, count, micro, words, needed, seconds + again, fits))
    found.sort(key=lambda each: (each.step_seconds, each.memory))
    return mark_best(found)


def mark_best(found: list[Choice]) -> list[Choice]:
    """Mark each that is smaller than all faster ones: the Pareto front."""
    marked, least = [], float("inf")
    for each in found:
        marked.append(replace(each, best=each.memory < least))
        least = min(least, each.memory)
    return marked
