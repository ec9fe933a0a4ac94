"""The one consumer of training's events: logs, validation, checkpoints, stopping, recovery."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import torch

from convsmith.api.budget import free_memory
from convsmith.api.layer_log import LayerLog
from convsmith.api.progress import Outlook, Pace, Progress
from convsmith.api.signals import StopRequest, stop_requests
from convsmith.errors import CheckpointError, Interrupted, NonFiniteError, WriteError
from convsmith.recipe.schema import Recipe
from convsmith.reporting.report import write_report
from convsmith.runs.folder import RunFolder
from convsmith.runs.journal import Journal
from convsmith.training.checkpoint import (
    checkpoints,
    delete_after,
    load_checkpoint,
    prune,
    save_checkpoint,
)
from convsmith.training.clock import StepClock
from convsmith.training.evaluate import Evaluation, evaluate
from convsmith.training.fit import EpochEnd, Finer, Step, fit
from convsmith.training.job import Job, State
from convsmith.training.memory import peak_bytes, reserved_bytes, used_bytes
from convsmith.training.recovery import locate_nonfinite
from convsmith.training.snapshot import restore, snapshot

__all__ = ["Session", "checkpoint", "drive", "first_checkpoint", "restore_newest", "write_page"]

SHOW_EVERY = 20  # seconds after which a step is shown though it is not logged
LOOK_EVERY = 0.25  # seconds between two looks at the memory, which take as long as a small layer
PAGE_EVERY = 60  # seconds between two writings of the page of a run that goes on


@dataclass
class Session:
    """One training in this process: what runs, where it is kept and how it shows itself."""

    recipe: Recipe
    job: Job
    state: State
    run: RunFolder
    journal: Journal
    progress: Progress
    clock: StepClock
    resume: str  # the command that goes on with this run
    started: float = field(default_factory=time.perf_counter)
    saved: tuple[int, int] | None = None  # the step and epochs done of the newest checkpoint
    saved_at: float = field(default_factory=time.perf_counter)
    shown_at: float | None = None  # when the page was last written

    def say(self, text: str) -> None:
        """Tell the person and the plain log."""
        self.progress.say(text)
        self.journal.say(text)

    def seconds(self) -> float:
        """Return the seconds that this run has taken, those before a resume included."""
        return self.state.seconds + time.perf_counter() - self.started


def drive(session: Session) -> None:
    """Train to the end, and leave a checkpoint of it.

    Raises:
        Interrupted: a signal asked to stop; a checkpoint was written.
        NonFiniteError: training diverged and the recipe says to stop, or rolling back did not help.
    """
    job, state = session.job, session.state
    outlook = Outlook(job.epochs, job.batches.steps_per_epoch, job.total_steps, state.step)
    session.progress.begin(outlook)
    try:
        with stop_requests() as request:
            while True:
                try:
                    consume(session, request)
                    break
                except NonFiniteError as error:
                    recover(session, error)
        if session.saved != (state.step, state.epoch):
            checkpoint(session)
    except (Interrupted, NonFiniteError):
        write_page(session.run, session.say)
        raise
    finally:
        session.progress.end()


def consume(session: Session, request: StopRequest) -> None:
    """Run ``fit`` and act on its events."""
    layers = LayerLog(session.job, session.journal, wanted=session.recipe.train.watch)
    layers.prepare(session.state.step)
    try:
        follow(session, request, layers)
    finally:
        layers.close()


def follow(session: Session, request: StopRequest, layers: LayerLog) -> None:
    """Act on the events of ``fit`` until it ends."""
    pace = PaceKeeper(session)
    for event in fit(session.job, session.state, session.clock):
        if isinstance(event, Finer):
            say_finer(session, event)
        elif isinstance(event, Step):
            pace.step(event)
            layers.record(event)
            if due_within_epoch(session):
                checkpoint(session)
        else:
            end_epoch(session, event)
            keep_page(session)
            every = session.recipe.train.checkpoint.every_epochs
            if every is not None and event.epoch % every == 0:
                checkpoint(session)
            pace = PaceKeeper(session)
        if request.signal_number is not None:
            checkpoint(session)
            raise Interrupted(request.signal_number, session.resume)


def say_finer(session: Session, event: Finer) -> None:
    """Say and log that memory ran out and how the training goes on."""
    session.journal.record(
        "out_of_memory", step=event.step, accumulate=event.accumulate, images=event.images
    )
    noun = "image" if event.images == 1 else "images"
    session.say(
        f"memory ran out in step {event.step}: it was made again, and from it on each batch is "
        f"made of {event.accumulate} micro-batches, of up to {event.images} {noun}"
    )


@dataclass(frozen=True)
class Held:
    """Bytes of memory: in use, the most so far, kept by PyTorch on a GPU, and free."""

    used: int
    peak: int
    reserved: int | None
    free: int | None

    @classmethod
    def by(cls, device: torch.device) -> "Held":
        """Look at a device's memory; the processor's is the process's."""
        used, peak = used_bytes(device), peak_bytes(device)
        return cls(used, peak, reserved_bytes(device), free_memory(device))


class PaceKeeper:
    """Reads the device now and then: loss, accuracy so far, speed and memory."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._images = 0
        self._since = self._shown = time.perf_counter()
        self._looked, self._memory = -math.inf, Held(0, 0, None, None)

    def step(self, event: Step) -> None:
        """Count a step; log and show it every ``log_every`` steps, show it if they take long."""
        session = self._session
        self._images += event.images
        logged = event.step % session.recipe.train.log_every == 0
        if not logged and time.perf_counter() - self._shown < SHOW_EVERY:
            return
        _, correct, seen = session.state.epoch_sums.tolist()
        now = time.perf_counter()
        if now - self._looked >= LOOK_EVERY:
            self._looked, self._memory = now, Held.by(session.job.device)
        held = self._memory
        pace = Pace(
            step=event.step - event.epoch * session.job.batches.steps_per_epoch,
            loss=float(event.loss),
            top1=correct / seen,
            images_per_second=self._images / (now - self._since),
            memory_bytes=held.used,
            memory_peak_bytes=held.peak,
        )
        session.progress.pace(event.epoch + 1, pace)
        self._shown = time.perf_counter()
        if not logged:
            return
        session.journal.record(
            "step",
            step=event.step,
            epoch=event.epoch,
            seconds=round(session.seconds(), 4),
            loss=pace.loss,
            top1=pace.top1,
            learning_rate=event.learning_rate,
            images_per_second=round(pace.images_per_second, 1),
            memory_bytes=held.used,
            memory_peak_bytes=held.peak,
            memory_reserved_bytes=held.reserved,
            memory_free_bytes=held.free,
        )
        self._images, self._since = 0, time.perf_counter()


def end_epoch(session: Session, event: EpochEnd) -> None:
    """Validate, log the epoch, keep the best weights, count towards early stopping."""
    job, state = session.job, session.state
    validated = None
    if job.validation is not None:
        validated = evaluate(job.eval_model, job.validation, job.loss, job.precision)
        if is_best(session, validated, event.epoch):
            weights = job.eval_model.state_dict()
            state.best = {name: tensor.detach().clone() for name, tensor in weights.items()}
    session.journal.record(
        "epoch",
        epoch=event.epoch,
        step=event.step,
        train={"loss": event.loss, "top1": event.top1},
        val=None if validated is None else score(validated),
        learning_rate=event.learning_rate,
        seconds=round(session.seconds(), 3),
    )
    left = session.seconds() / state.step * (job.total_steps - state.step)
    phrase = ""
    if validated is not None:
        phrase = f"  val loss {validated.loss:.4f}  top-1 {validated.top1:.2%}"
    session.progress.epoch(event, phrase, left)
    session.journal.say(f"epoch {event.epoch}: train loss {event.loss:.4f}{phrase}")


def is_best(session: Session, validated: Evaluation, epoch: int) -> bool:
    """Return whether these weights are the best so far, and remember it."""
    watch = session.state.stopping
    if watch is None:
        return False
    value = validated.loss if watch.metric == "loss" else validated.top1
    return watch.update(value, epoch)


def score(evaluation: Evaluation) -> dict[str, float]:
    """Return the figures of an evaluation that go into the metrics."""
    return {"loss": evaluation.loss, "top1": evaluation.top1, "top5": evaluation.top5}


def keep_page(session: Session) -> None:
    """Write the run's page, at most once a minute."""
    now = time.perf_counter()
    if session.shown_at is None or now - session.shown_at > PAGE_EVERY:
        write_page(session.run, session.say)
        session.shown_at = now


def write_page(run: RunFolder, say: Callable[[str], None]) -> None:
    """Write a run's page; what goes wrong with it must not cost anybody a training.

    If the disk is full, the next checkpoint will say so, and how to go on.
    """
    try:
        write_report(run)
    except WriteError as error:
        say(f"the page is left as it was: {error}")
    except Exception as error:  # noqa: BLE001
        say(f"the page could not be made, please report it: {error!r}")


def due_within_epoch(session: Session) -> bool:
    """Return whether the recipe's cadence in steps or seconds asks for a checkpoint now."""
    rule = session.recipe.train.checkpoint
    by_steps = rule.every_steps is not None and session.state.step % rule.every_steps == 0
    elapsed = time.perf_counter() - session.saved_at
    return by_steps or (rule.every_seconds is not None and elapsed >= rule.every_seconds)


def checkpoint(session: Session) -> None:
    """Write a checkpoint of this moment and delete those past the retention.

    Raises:
        NonFiniteError: this moment is after a non-finite step, and not worth keeping.
    """
    state = session.state
    first_bad = int(state.first_bad)
    if first_bad >= 0:
        raise NonFiniteError(first_bad)
    tensors, fields = snapshot(session.job, state)
    fields["seconds"] = session.seconds()
    fields["metrics_bytes"] = session.journal.flushed_size()
    save_checkpoint(session.run.checkpoints, state.step, tensors, fields)
    prune(session.run.checkpoints, session.recipe.train.checkpoint.keep)
    session.saved, session.saved_at = (state.step, state.epoch), time.perf_counter()


def first_checkpoint(run: RunFolder, job: Job, state: State) -> None:
    """Write the checkpoint of a run that has not begun; with it, it can be resumed."""
    tensors, fields = snapshot(job, state)
    save_checkpoint(run.checkpoints, 0, tensors, fields | {"metrics_bytes": 0})


def restore_newest(session: Session) -> None:
    """Restore the newest checkpoint that is whole.

    Damaged ones are reported and deleted, metrics and checkpoints of a later time cut off.

    Raises:
        CheckpointError: all checkpoints are damaged or gone.
    """
    folders = checkpoints(session.run.checkpoints)
    for folder in reversed(folders):
        try:
            tensors, fields = load_checkpoint(folder)
            if "metrics_bytes" not in fields:
                raise CheckpointError(f"{folder} does not say how long the metrics were")
            restore(session.job, session.state, tensors, fields)
        except CheckpointError as error:
            session.say(f"damaged checkpoint left out: {error}")
            continue
        delete_after(session.run.checkpoints, session.state.step)
        session.journal.cut(fields["metrics_bytes"], session.state.step)
        session.saved = session.state.step, session.state.epoch
        session.started = time.perf_counter()
        return
    what = "every checkpoint is damaged" if folders else "there is no checkpoint any more"
    anew = f"convsmith train {session.run.recipe}"
    raise CheckpointError(f"{session.run.checkpoints}: {what}; to train anew: {anew}")


def recover(session: Session, error: NonFiniteError) -> None:
    """Find where the run diverged; roll back with a lower rate, or raise as the recipe says."""
    rule, state = session.recipe.train.on_nonfinite, session.state
    restore_newest(session)
    where = locate_nonfinite(session.job, state, error.step)
    restore_newest(session)
    if rule.action == "stop" or state.rollbacks >= rule.at_most:
        tries = f" after {state.rollbacks} rollbacks" if state.rollbacks else ""
        session.journal.record("nonfinite", step=error.step, where=where)
        raise NonFiniteError(
            error.step,
            f", first {where}{tries}; lower the learning rate"
            f" (--set optimizer.learning_rate=…), clip gradients (--set train.clip_norm=1),"
            f" or --set train.on_nonfinite=rollback",
        )
    state.rollbacks += 1
    state.rate_scale *= rule.rate_factor
    session.say(
        f"step {error.step} was not finite, first {where}: "
        f"back to step {state.step} with the learning rate times {state.rate_scale:g}"
    )
    session.journal.record("rollback", step=error.step, to=state.step, where=where)
    checkpoint(session)
