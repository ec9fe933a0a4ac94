"""The proof that an exported file does what the network does, in a process of its own."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy
from numpy.typing import NDArray

from convsmith_runtime.manifest import Golden

__all__ = ["TOLERANCES", "Expected", "Verified", "tolerance_of", "verify"]

# The largest difference of a logit, as a share of the largest logit there is (at least 0.01).
TOLERANCES = {"fp32": 1e-4, "fp16": 1e-2, "bf16": 5e-2, "int8": 0.25}
# By how much the share of right answers may fall.
DROPS = {"fp32": 0.0005, "fp16": 0.002, "bf16": 0.005, "int8": 0.01}


@dataclass(frozen=True)
class Expected:
    """What the training's own evaluation says: of the golden samples, and of test images.

    ``classes`` are in the order of the logits. ``pixels`` is ``(N, C, H, W)`` uint8, ``labels``
    ``(N,)`` and ``logits`` ``(N, classes)``.
    """

    classes: tuple[str, ...]
    golden: Sequence[Golden]
    pixels: NDArray[numpy.uint8]
    labels: NDArray[numpy.int64]
    logits: NDArray[numpy.float32]

    @property
    def top1(self) -> float:
        """Return the share of right answers."""
        return float((self.logits.argmax(1) == self.labels).mean())


@dataclass(frozen=True)
class Verified:
    """How an exported file did, beside the training's own evaluation.

    ``engine`` ran it. ``top1`` is its share of right answers on ``images`` test images, and
    ``per_class`` that of each class; ``expected`` is what the training's evaluation gives.
    ``difference`` is the largest of a logit, over golden samples and test images, and ``tolerance``
    the largest allowed. ``problems`` says what is wrong.
    """

    engine: str
    samples: int
    images: int
    top1: float
    expected: float
    difference: float
    tolerance: float
    per_class: dict[str, float]
    problems: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Return whether nothing is wrong."""
        return not self.problems


def tolerance_of(logits: NDArray[numpy.float32], precision: str = "fp32") -> float:
    """Return by how much a logit may differ, given those of many images."""
    return TOLERANCES[precision] * max(0.01, float(numpy.abs(logits).max()))


def verify(format: str, path: Path, expected: Expected, precision: str = "fp32") -> Verified:
    """Compare an exported file with what is expected, in a fresh process.

    That process reads the golden image files as the exported file's own rule says, and the test
    images as they are. It does not import torch, unless the format is PyTorch's own. Logits are
    compared by the names of the classes.

    Args:
        format: onnx (a bundle), openvino, pt2 or torchscript.
        path: the file.
        expected: what the training's evaluation says.
        precision: of the exported network; it decides what may differ.
    """
    tolerance = tolerance_of(expected.logits, precision)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        write_job(place, format, path, expected)
        problem = run_job(place)
        if problem is not None:
            return failed(expected, tolerance, problem)
        answer = json.loads((place / "answer.json").read_text(encoding="utf-8"))
        golden, logits = (numpy.load(place / name) for name in ("golden.npy", "logits.npy"))
    if sorted(answer["classes"]) != sorted(expected.classes):
        return failed(expected, tolerance, "its classes are not those of the training")
    order = [answer["classes"].index(name) for name in expected.classes]
    golden, logits = golden[:, order], logits[:, order]
    problems = [] if format in ("pt2", "torchscript") or not answer["torch"] else ["it needs torch"]
    wanted = numpy.array([each.logits for each in expected.golden], numpy.float32)
    problems += compare_golden(golden, wanted, expected.golden, tolerance)
    problems += compare_images(logits, expected, tolerance, precision)
    right = logits.argmax(1) == expected.labels
    return Verified(
        engine=answer["engine"],
        samples=len(golden),
        images=len(logits),
        top1=float(right.mean()),
        expected=expected.top1,
        difference=float(max(numpy.abs(golden - wanted).max(), gaps(logits, expected).max())),
        tolerance=tolerance,
        per_class={
            name: float(right[expected.labels == index].mean())
            for index, name in enumerate(expected.classes)
            if (expected.labels == index).any()
        },
        problems=tuple(problems),
    )


def write_job(place: Path, format: str, path: Path, expected: Expected) -> None:
    """Write what the fresh process is given: files only, and not what is expected of it."""
    (place / "golden").mkdir()
    for each in expected.golden:
        (place / each.name).write_bytes(each.data)
    numpy.save(place / "images.npy", expected.pixels)
    job = {
        "format": format,
        "path": str(path.absolute()),
        "golden": [each.name for each in expected.golden],
    }
    (place / "job.json").write_text(json.dumps(job), encoding="utf-8")


def run_job(place: Path) -> str | None:
    """Run the fresh process; return why it failed, if it did."""
    paths = os.pathsep.join(filter(None, sys.path))  # it finds what this process finds
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "convsmith.exporting.replay", str(place)],
        env=os.environ | {"PYTHONPATH": paths},
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode == 0:
        return None
    last = (done.stderr.strip().splitlines() or [f"it ended with {done.returncode}"])[-1]
    return f"it cannot be run: {last}"


def failed(expected: Expected, tolerance: float, problem: str) -> Verified:
    """Return what is said of a file that cannot be compared at all."""
    nothing = float("nan")
    return Verified("", 0, 0, nothing, expected.top1, nothing, tolerance, {}, (problem,))


def compare_golden(
    found: NDArray[numpy.float32],
    wanted: NDArray[numpy.float32],
    golden: Sequence[Golden],
    tolerance: float,
) -> list[str]:
    """Return what is wrong with the logits of the golden samples."""
    worst = numpy.abs(found - wanted).max(1)
    wrong = [n for n, each in enumerate(worst) if not each <= tolerance]  # NaN is wrong too
    if not wrong:
        return []
    first = wrong[0]
    return [
        f"{len(wrong)} of {len(golden)} golden samples differ: of {golden[first].name} a logit by "
        f"{worst[first]:.2g}, {tolerance:.2g} is allowed"
    ]


def compare_images(
    logits: NDArray[numpy.float32], expected: Expected, tolerance: float, precision: str
) -> list[str]:
    """Return what is wrong with the logits of the test images."""
    problems = []
    worst = gaps(logits, expected)
    wrong = int((~(worst <= tolerance)).sum())
    if wrong:
        problems.append(
            f"{wrong:,} of {len(worst):,} test images differ: a logit by up to "
            f"{worst.max():.2g}, {tolerance:.2g} is allowed"
        )
    top1 = float((logits.argmax(1) == expected.labels).mean())
    if top1 < expected.top1 - DROPS[precision]:
        problems.append(f"top-1 is {top1:.2%}, the training's evaluation gives {expected.top1:.2%}")
    return problems


def gaps(logits: NDArray[numpy.float32], expected: Expected) -> NDArray[numpy.float32]:
    """Return the largest difference of a logit for each test image ``(N,)``."""
    found: NDArray[numpy.float32] = numpy.abs(logits - expected.logits).max(1)
    return found
