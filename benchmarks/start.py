"""How long it takes from typing a command to the first step of training, and to import packages.

    python benchmarks/start.py --rounds 5 --venv DIR

The first step is seen in the run's metrics. `--venv` is the peers' environment (see peers.py);
without it only what is installed here is imported. All take their turn in every round; the first
round, which warms the disk's cache, is not counted.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

PACKAGES = ["convsmith", "torch", "torchvision", "timm", "lightning", "fastai.vision.all"]
COMMAND = "convsmith train digits"


def first_step() -> float:
    """Return the seconds from the start of the process to the record of its first step."""
    with tempfile.TemporaryDirectory() as runs:
        words = ["train", "digits", "--runs", runs, "--set", "train.log_every=1", "--name", "x"]
        metrics = Path(runs) / "x" / "metrics.jsonl"
        started = time.perf_counter()
        child = subprocess.Popen(
            [sys.executable, "-m", "convsmith", *words], stderr=subprocess.DEVNULL
        )
        try:
            while not (metrics.exists() and b'"event": "step"' in metrics.read_bytes()):
                if child.poll() is not None:
                    raise SystemExit(f"{COMMAND} ended with {child.returncode} before a step")
                time.sleep(0.002)
            return time.perf_counter() - started
        finally:
            child.kill()
            child.wait()


def imported(python: Path, package: str) -> float | None:
    """Return the seconds of a process that only imports a package; None if it is not there."""
    started = time.perf_counter()
    done = subprocess.run([python, "-c", f"import {package}"], capture_output=True, check=False)
    return time.perf_counter() - started if done.returncode == 0 else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--venv", type=Path, help="the peers' environment")
    options = parser.parse_args()
    here = Path(sys.executable)
    peers = here if options.venv is None else options.venv / "bin" / "python"
    found: dict[str, list[float]] = {}
    for number in range(options.rounds + 1):
        times = {COMMAND: first_step()}
        for package in PACKAGES:
            times[f"import {package}"] = imported(
                here if package == "convsmith" else peers, package
            )
        for name, seconds in times.items():
            if number and seconds is not None:
                found.setdefault(name, []).append(seconds)
    print("| what | seconds, median (least-most) |\n|---|---|")
    for name, each in found.items():
        what = f"{name}, to the first step" if name == COMMAND else name
        print(f"| `{what}` | {median(each):.2f} ({min(each):.2f}-{max(each):.2f}) |")


if __name__ == "__main__":
    main()
