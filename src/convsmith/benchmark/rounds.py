"""Taking turns: every configuration is timed for a while in every round."""

import json
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy

__all__ = ["Timed", "Worker", "take_turns"]

Say = Callable[[str], None]


@dataclass(frozen=True)
class Timed:
    """One configuration at one batch size; seconds of a call, joules of an image."""

    batch: int
    calls: int
    p50: float
    p95: float
    p99: float
    images_per_second: float
    joules_per_image: float | None


@dataclass
class Worker:
    """A process that runs one configuration. Close it."""

    command: Sequence[str]
    spec: Mapping[str, Any]
    memory: int | None = None
    energy: bool = False
    failed: str | None = None
    times: dict[int, list[float]] = field(default_factory=dict)
    joules: dict[int, list[float]] = field(default_factory=dict)
    _process: subprocess.Popen[str] = field(init=False, repr=False)

    def start(self) -> None:
        """Start the process and wait until its network is loaded; it ends if that is broken off."""
        self._process = subprocess.Popen(
            self.command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        try:
            self.energy = bool(self._ask(self.spec).get("energy"))
        except BaseException:
            self.close()
            raise

    def time(self, batch: int, seconds: float) -> None:
        """Have it run one batch size for some seconds."""
        if self.failed is not None:
            return
        found = self._ask({"batch": batch, "seconds": seconds})
        if self.failed is not None:
            return
        self.times.setdefault(batch, []).extend(found["times"])
        if found["joules"] is not None:
            images = batch * len(found["times"])
            self.joules.setdefault(batch, []).append(found["joules"] / images)
        self.memory = found["memory"]

    def close(self) -> None:
        """End the process."""
        self._process.kill()  # it has nothing to finish
        self._process.communicate()

    def _ask(self, order: Mapping[str, Any]) -> dict[str, Any]:
        try:
            self._process.stdin.write(json.dumps(order) + "\n")  # type: ignore[union-attr]
            self._process.stdin.flush()  # type: ignore[union-attr]
            line = self._process.stdout.readline()  # type: ignore[union-attr]
        except OSError:  # the pipe is broken; Windows calls it an invalid argument
            line = ""
        if not line:
            self.failed = ended(self._process.wait())
            return {}
        found: dict[str, Any] = json.loads(line)
        self.failed = found.get("failed")
        return found

    def result(self) -> tuple[Timed, ...]:
        """Return what was measured, by batch size."""
        return tuple(
            timed(batch, times, self.joules.get(batch)) for batch, times in self.times.items()
        )


def ended(status: int) -> str:
    """Return how a process ended that should not have."""
    if status == -signal.SIGKILL:
        return "its process was killed: perhaps the memory did not suffice"
    return f"its process ended with status {status}"


def timed(batch: int, times: Sequence[float], joules: Sequence[float] | None) -> Timed:
    """Return the figures of some calls."""
    p50, p95, p99 = (float(each) for each in numpy.quantile(times, (0.5, 0.95, 0.99)))
    energy = None if joules is None else float(numpy.median(joules))
    return Timed(batch, len(times), p50, p95, p99, batch / p50, energy)


def take_turns(
    workers: Mapping[str, Worker],
    batches: Sequence[int],
    *,
    rounds: int,
    seconds: float,
    say: Say,
) -> None:
    """Start all workers, time them in turns, and end them.

    In each round each batch size is timed in every configuration, one after the other, so that a
    busy machine slows them alike. One that fails is left out of what follows.
    """
    started: list[Worker] = []
    try:
        for name, worker in workers.items():
            say(f"starting {name}")
            worker.start()
            started.append(worker)
        for number in range(rounds):
            say(f"round {number + 1} of {rounds}")
            for batch in batches:
                for worker in workers.values():
                    worker.time(batch, seconds)
    finally:
        for worker in started:
            worker.close()
