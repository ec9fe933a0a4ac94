"""How fast a small network trains beside another busy program.

    python benchmarks/beside.py --rounds 5

Trains `digits` by the command line, alone and beside a program that multiplies matrices on every
core, with GNU OpenMP's own patience of waiting threads and with convsmith's.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from statistics import median

BUSY = "import torch\nx = torch.randn(1500, 1500)\nprint(flush=True)\nwhile True: x @ x"
VARIANTS = {"OpenMP's own": {"GOMP_SPINCOUNT": "300000"}, "convsmith's": {}}
PATIENCE = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
INHERITED = {name: value for name, value in os.environ.items() if name not in PATIENCE}


def seconds(settings: dict[str, str], epochs: int) -> float:
    """Train in a process of its own; return what the run's own clock says."""
    with tempfile.TemporaryDirectory() as runs:
        words = ["train", "digits", "--epochs", str(epochs), "--runs", runs, "--json"]
        done = subprocess.run(
            [sys.executable, "-m", "convsmith", *words],
            env=INHERITED | settings,
            check=True,
            capture_output=True,
        )
        return json.loads(done.stdout)["seconds"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=10)
    options = parser.parse_args()
    print("| beside | waiting threads | seconds, median (least-most) |\n|---|---|---|")
    for place in ("nothing", "a busy program"):
        busy = None
        if place != "nothing":
            busy = subprocess.Popen([sys.executable, "-c", BUSY], stdout=subprocess.PIPE)
            busy.stdout.readline()  # it is busy from here on
        try:
            found: dict[str, list[float]] = {name: [] for name in VARIANTS}
            for _ in range(options.rounds):
                for name, settings in VARIANTS.items():
                    found[name].append(seconds(settings, options.epochs))
        finally:
            if busy is not None:
                busy.kill()
                busy.wait()
        for name, each in found.items():
            spread = f"{median(each):.1f} ({min(each):.1f}-{max(each):.1f})"
            print(f"| {place} | {name} | {spread} |")


if __name__ == "__main__":
    main()
