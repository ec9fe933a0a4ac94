"""What happens in the layers, logged while a run trains: one step an epoch, the last."""

from dataclasses import asdict

from convsmith.insight.watch import Watch
from convsmith.runs.journal import Journal
from convsmith.training.fit import Step
from convsmith.training.job import Job

__all__ = ["LayerLog"]


class LayerLog:
    """Looks into the last step of every epoch, and logs it with histograms. Final.

    ``wanted`` is whether it does anything. Call :meth:`prepare` with the steps that are done before
    the next one begins, :meth:`record` after each, and :meth:`close` in the end.
    """

    def __init__(self, job: Job, journal: Journal, *, wanted: bool) -> None:
        self._job = job
        self._journal = journal
        self._wanted = wanted
        self._watch: Watch | None = None

    def prepare(self, done: int) -> None:
        """Begin to look if the next step is the last of its epoch or of the run."""
        following = done + 1
        last = following % self._job.batches.steps_per_epoch == 0
        if self._wanted and (last or following == self._job.total_steps):
            self._watch = Watch(self._job.model, histograms=True)

    def record(self, event: Step) -> None:
        """Log a step if it was looked into, and prepare for the next."""
        if self._watch is not None:
            reading = self._watch.read(event.step, event.learning_rate, float(event.loss))
            self.close()
            self._journal.record("layers", **asdict(reading))
        self.prepare(event.step)

    def close(self) -> None:
        """Stop looking."""
        if self._watch is not None:
            self._watch.close()
            self._watch = None
