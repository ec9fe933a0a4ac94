"""Train presets with several seeds through the public command and report the test accuracies.

    python benchmarks/accuracy.py mnist mnist-improved fashion digits --seeds 3 --runs /tmp/accuracy

A run that exists and has finished is read, one that was interrupted is resumed, so the whole can be
stopped and started again. Prints one Markdown row a preset for docs/results.md.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from statistics import fmean, median, stdev


def results(preset: str, seed: int, runs: Path, extra: list[str]) -> dict:
    """Return the results of one run, training it first if need be."""
    run = runs / f"{preset}-seed{seed}"
    finished = run / "results.json"
    if not finished.exists():
        begin = [preset, "--seed", str(seed), "--name", run.name, "--runs", str(runs), *extra]
        arguments = ["--resume", str(run)] if run.exists() else begin
        subprocess.run([sys.executable, "-m", "convsmith", "train", *arguments], check=True)
    return json.loads(finished.read_text())


def row(preset: str, found: list[dict]) -> str:
    """Return the Markdown row of one preset."""
    accuracies = [100 * each["test"]["top1"] for each in found]
    spread = stdev(accuracies) if len(accuracies) > 1 else 0.0
    each = ", ".join(f"{accuracy:.2f}" for accuracy in accuracies)
    seconds = median(result["seconds"] for result in found)
    speed = median(result["images_per_second"] for result in found if result["images_per_second"])
    epochs = "/".join(sorted({str(result["epochs"]) for result in found}))
    return (
        f"| `{preset}` | {fmean(accuracies):.2f} ± {spread:.2f} | {each} | {epochs} "
        f"| {found[0]['parameters']:,} | {seconds:.0f} s | {speed:,.0f} |"
    )


def main() -> None:
    """Run every preset with every seed, seed by seed, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("presets", nargs="+")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--runs", type=Path, required=True, help="outside the checkout")
    parser.add_argument("--set", action="append", default=[], help="passed on to convsmith train")
    options = parser.parse_args()
    extra = [word for pair in options.set for word in ("--set", pair)]
    found: dict[str, list[dict]] = {preset: [] for preset in options.presets}
    for seed in range(options.seeds):
        for preset in options.presets:
            found[preset].append(results(preset, seed, options.runs, extra))
    print(
        "| preset | test top-1, % (mean ± s.d.) | seeds | epochs | parameters | time | images/s |"
    )
    print("|---|---|---|---|---|---|---|")
    for preset, each in found.items():
        print(row(preset, each))


if __name__ == "__main__":
    main()
