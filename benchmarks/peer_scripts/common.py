"""What all peer scripts share, whatever their framework: command line, works, data, timing, result.

Every script trains exactly `--steps` steps of one work and prints one JSON object as its last line.
A step lasts from the end of the step before it to its own end, so data loading is counted.
"""

import argparse
import json
import time
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from statistics import fmean, median

import numpy as np
import psutil

WARM_UP = 10  # steps whose time is not counted
LAST = 20  # steps whose losses are averaged for the result


@dataclass(frozen=True)
class Work:
    """One training task, the same for all peers."""

    batch: int
    augment: bool  # random crop of the image padded by 4, and random horizontal flip
    mean: tuple[float, ...]
    std: tuple[float, ...]
    lr: float
    momentum: float | None = None  # SGD with this momentum, or Adam if there is none
    weight_decay: float = 0.0


CIFAR10 = {"mean": (0.4914, 0.4822, 0.4465), "std": (0.2470, 0.2435, 0.2616)}
WORKS = {
    "resnet18": Work(128, True, **CIFAR10, lr=0.1, momentum=0.9, weight_decay=5e-4),
    "compact": Work(32, True, **CIFAR10, lr=1e-3),
    "mnist": Work(64, False, mean=(0.1307,), std=(0.3081,), lr=1e-3),
}


@dataclass
class Steps:
    """The moment each training step ended and its loss; the first moment is the beginning."""

    ends: list[float] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)

    def begin(self) -> None:
        """Start the clock, right before the training loop."""
        self.ends.append(time.perf_counter())

    def end(self, loss: float) -> None:
        """Record the end of one step."""
        self.ends.append(time.perf_counter())
        self.losses.append(loss)

    def seconds(self) -> float:
        """Return the median duration of a step after the warm-up."""
        durations = [end - start for start, end in zip(self.ends, self.ends[1:], strict=False)]
        return median(durations[WARM_UP:])


def arguments(description: str) -> argparse.Namespace:
    """Return the command line's options."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("--work", choices=WORKS, required=True)
    parser.add_argument("--data", type=Path, required=True, help="images.npy and labels.npy")
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--best", action="store_true", help="the fastest documented settings")
    options = parser.parse_args()
    if options.steps <= WARM_UP:
        parser.error(f"--steps must be more than the {WARM_UP} of the warm-up")
    return options


def arrays(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return the images, (N, height, width[, 3]) uint8, and the labels, (N,) int64."""
    return np.load(folder / "images.npy"), np.load(folder / "labels.npy")


def report(
    peer: str, distribution: str, options: argparse.Namespace, parameters: int, steps: Steps
) -> None:
    """Print the result of one run."""
    result = {
        "peer": peer,
        "version": version(distribution),
        "work": options.work,
        "best": options.best,
        "parameters": parameters,
        "steps": len(steps.losses),
        "images_per_second": round(WORKS[options.work].batch / steps.seconds(), 1),
        "loss": round(fmean(steps.losses[-LAST:]), 4),
        "seconds": round(time.time() - psutil.Process().create_time(), 1),
    }
    print(json.dumps(result), flush=True)
