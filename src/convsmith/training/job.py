"""A job, everything that training needs; and its state, everything that training changes."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor, nn

from convsmith.training.ema import Ema
from convsmith.training.losses import Loss
from convsmith.training.precision import Precision
from convsmith.training.stopping import EarlyStopping
from convsmith.training.transfer import Phases

__all__ = ["Batches", "Job", "State"]


class Batches(Protocol):
    """Training batches that can be entered at any step of any epoch."""

    @property
    def steps_per_epoch(self) -> int:
        """Return the number of batches in one epoch."""
        ...

    def epoch(self, epoch: int, first_step: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield ``(images (N, C, H, W) float32, labels (N,) int64)`` from ``first_step`` on."""
        ...


@dataclass(frozen=True)
class Job:
    """What :func:`convsmith.training.fit.fit` runs; nothing in it says how far the run has come.

    ``batches`` yields effective batches; ``accumulate`` splits each into that many micro-batches,
    at least: a state may hold more.
    ``phases`` says what may change in which epoch; None is everything in all.
    """

    model: nn.Module
    batches: Batches
    loss: Loss
    optimizer: torch.optim.Optimizer
    schedule: Callable[[int], float]  # step -> factor of the base rates
    precision: Precision
    epochs: int
    total_steps: int
    seed: int
    device: torch.device
    accumulate: int = 1
    clip_norm: float | None = None
    ema: Ema | None = None
    check_every: int = 50  # steps between looks at the non-finite mark on a device that runs ahead
    validation: Iterable[tuple[Tensor, Tensor]] | None = None
    phases: Phases | None = None
    base_rates: tuple[float, ...] = field(init=False)

    def __post_init__(self) -> None:
        rates = tuple(float(group["lr"]) for group in self.optimizer.param_groups)
        object.__setattr__(self, "base_rates", rates)

    @property
    def eval_model(self) -> nn.Module:
        """Return the network that is evaluated: the moving average if there is one."""
        return self.model if self.ema is None else self.ema.model


@dataclass
class State:
    """How far a run has come. With the job's tensors, it is what a checkpoint holds.

    ``epoch_sums`` holds this epoch's running loss, correct images and images, on the device;
    ``first_bad`` is the first step whose loss or gradient was not finite, or -1, on the device.
    ``best`` is a copy of the best weights so far, by the validation part if there is one.
    ``accumulate`` begins as the job's and grows when memory runs out; ``recompute`` names the
    stages whose activations are computed again in the backward pass.
    """

    epoch_sums: Tensor
    first_bad: Tensor
    stopping: EarlyStopping | None = None
    accumulate: int = 1
    recompute: tuple[str, ...] = ()
    step: int = 0
    epoch: int = 0
    rate_scale: float = 1.0
    rollbacks: int = 0
    seconds: float = 0.0
    best: dict[str, Tensor] | None = None

    @classmethod
    def new(cls, job: Job, stopping: EarlyStopping | None = None) -> "State":
        """Return the state of a run that has not begun."""
        return cls(
            epoch_sums=torch.zeros(3, dtype=torch.float64, device=job.device),
            first_bad=torch.full((), -1, dtype=torch.int64, device=job.device),
            stopping=stopping,
            accumulate=job.accumulate,
        )

    @property
    def stopped(self) -> bool:
        """Return whether early stopping has ended the run."""
        return self.stopping is not None and self.stopping.done
