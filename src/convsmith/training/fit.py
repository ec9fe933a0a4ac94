"""The training loop: a generator of events. What to do with them is its caller's business."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from convsmith.errors import NonFiniteError
from convsmith.randomness import seed_dropout
from convsmith.training.clock import StepClock
from convsmith.training.job import Job, State
from convsmith.training.memory import out_of_memory, release
from convsmith.training.onednn import unstuck
from convsmith.training.recompute import recomputed
from convsmith.training.split import Buffers, finer

__all__ = ["EpochEnd", "Finer", "Step", "fit", "train_step"]


@dataclass(frozen=True)
class Step:
    """One optimizer step is done; ``loss`` stays on the device until somebody reads it."""

    step: int  # steps done, this one included
    epoch: int  # epochs done before this step
    images: int
    learning_rate: float
    loss: Tensor


@dataclass(frozen=True)
class Finer:
    """Memory ran out in the step that is now done; from it on, batches are split into more."""

    step: int  # steps done, this one included
    accumulate: int  # micro-batches of a batch
    images: int  # in the largest of them


@dataclass(frozen=True)
class EpochEnd:
    """One epoch is done; loss and accuracy are means over the images as they were trained on."""

    epoch: int  # epochs done, this one included
    step: int
    loss: float
    top1: float
    learning_rate: float


def fit(
    job: Job, state: State, clock: StepClock | None = None
) -> Iterator[Step | Finer | EpochEnd]:
    """Train from ``state`` to the end of ``job``, yielding after every step and every epoch.

    Each step is a function of (job, step) and the state alone, so leaving at any event and
    coming back with an equal state gives bit-identical weights.

    Raises:
        NonFiniteError: the loss or a gradient became NaN or infinite. No update was made from that
            step on; BatchNorm's statistics and the moving average may have moved: restore them.
    """
    clock = clock or StepClock(job.device)
    per_epoch = job.batches.steps_per_epoch
    every = look_every(job)
    job.model.train()
    while state.epoch < job.epochs and state.step < job.total_steps and not state.stopped:
        first = state.step - state.epoch * per_epoch
        if first == 0:
            state.epoch_sums.zero_()
        if job.phases is not None:
            job.phases.begin(job.model, state.epoch)
        batches = job.batches.epoch(state.epoch, first)
        rate = 0.0
        while state.step < min((state.epoch + 1) * per_epoch, job.total_steps):
            clock.start()
            images, labels = next(batches)
            split = state.accumulate
            rate, loss = train_step(job, state, images, labels)
            state.step += 1
            clock.stop()
            if state.accumulate != split:
                most = len(labels.chunk(state.accumulate)[0])
                yield Finer(state.step, state.accumulate, most)
            if state.step % every == 0:
                require_finite(state)
            yield Step(state.step, state.epoch, len(labels), rate, loss)
        require_finite(state)
        state.epoch += 1
        loss_sum, correct, seen = state.epoch_sums.tolist()
        clock.seconds()  # the device has just been waited for: its events are read, not piled up
        rate = rate or learning_rate(job, state, state.step - 1)
        yield EpochEnd(state.epoch, state.step, loss_sum / seen, correct / seen, rate)


def look_every(job: Job) -> int:
    """Return the steps between looks at the non-finite mark: a GPU must not be waited for."""
    return 1 if job.device.type == "cpu" else job.check_every


def learning_rate(job: Job, state: State, step: int) -> float:
    """Return the learning rate of the optimizer's first group at ``step``."""
    return job.base_rates[0] * job.schedule(step) * state.rate_scale


def train_step(job: Job, state: State, images: Tensor, labels: Tensor) -> tuple[float, Tensor]:
    """Make one optimizer step on an effective batch; return (learning rate, mean loss).

    Where memory runs out in the forward or backward pass, the gradients are dropped, BatchNorm's
    statistics put back, and the step is made again in smaller micro-batches.
    """
    factor = job.schedule(state.step) * state.rate_scale
    for group, base in zip(job.optimizer.param_groups, job.base_rates, strict=True):
        group["lr"] = base * factor
    before = Buffers(job.model)
    while True:
        try:
            total, correct = unstuck(add_gradients, job, state, images, labels)
            break
        except (RuntimeError, MemoryError) as error:
            smaller = finer(job.model, len(labels), state.accumulate)
            if smaller is None or not out_of_memory(error):
                raise
        # Only now has the error let go of the tensors that its traceback held
        job.optimizer.zero_grad(set_to_none=True)
        before.put_back()
        release(job.device)
        state.accumulate = smaller
    mean_loss = total / len(labels)
    job.precision.step(
        job.optimizer,
        loss=mean_loss,
        clip_norm=job.clip_norm,
        step=state.step,
        first_bad=state.first_bad,
    )
    if job.ema is not None:
        job.ema.update(job.model)
    state.epoch_sums += torch.stack([total, correct.double(), torch.full_like(total, len(labels))])
    return job.base_rates[0] * factor, mean_loss


def add_gradients(job: Job, state: State, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Leave a batch's gradient in the parameters; return its summed loss and its correct images.

    The loss of each micro-batch is summed and divided by the size of the effective batch, so its
    gradient is that of the large batch to rounding (but for BatchNorm, whose statistics are the
    micro-batch's, and dropout, which is drawn for each micro-batch).
    """
    job.optimizer.zero_grad(set_to_none=True)
    total = torch.zeros((), dtype=torch.float64, device=job.device)
    correct = torch.zeros((), dtype=torch.int64, device=job.device)
    micro = zip(images.chunk(state.accumulate), labels.chunk(state.accumulate), strict=True)
    for index, (inputs, targets) in enumerate(micro):
        seed_dropout(job.device, job.seed, state.step, index)
        with job.precision.forward(), recomputed(job.model, state.recompute):
            logits = job.model(inputs)
        losses = job.loss(logits.float(), targets)
        job.precision.backward(losses.sum() / len(labels))
        total += losses.detach().sum()
        likeliest = targets if targets.ndim == 1 else targets.argmax(1)
        correct += (logits.detach().argmax(1) == likeliest).sum()
    return total, correct


def require_finite(state: State) -> None:
    """Read the non-finite mark; raise NonFiniteError if it is set."""
    first_bad = int(state.first_bad)
    if first_bad >= 0:
        raise NonFiniteError(first_bad)
