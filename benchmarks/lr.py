"""Do the rates that `convsmith lr` suggests train as well as the best of a grid of rates?

    python benchmarks/lr.py cifar10-vgg cifar10-resnet18 --work /tmp/lr --data-root DATA

Takes 10,000 of a preset's training images to train on, 5 epochs each, and 5,000 others to judge by:
the test part is not looked at. Every rate of the grid, every suggestion and the recipe's own rate
is trained with every seed. A run that has finished is read, so the whole can be stopped and started
again. Prints Markdown for docs/results.md.
"""

import argparse
import json
from pathlib import Path
from statistics import fmean

import torch

import convsmith
from convsmith.data import find_root
from convsmith.errors import NonFiniteError
from convsmith.recipe.build import read_source

GRID = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)


def less(preset: str, root: str | None, images: int, judged: int):
    """Return some of a preset's training images, and others of them as the part to judge by."""
    recipe = convsmith.load_recipe(preset).recipe
    source = read_source(recipe, find_root(root), print)
    order = torch.randperm(len(source.train), generator=torch.Generator().manual_seed(0))
    parts = [
        source.train.take(chosen) for chosen in (order[:images], order[images : images + judged])
    ]
    return convsmith.own_source(*parts, classes=source.classes, mirrored=source.mirrored)


def top1(preset: str, rate: float, seed: int, data, options) -> float:
    """Return the accuracy in % that one rate reaches, training if need be; 0 if it diverges."""
    sets = [
        *options.set,
        f"optimizer.learning_rate={rate:g}",
        f"train.epochs={options.epochs}",
        f"seed={seed}",
    ]
    run = options.work / f"{preset}-{rate:g}-seed{seed}"
    if not (run / "results.json").exists():
        begin = {"recipe": preset, "sets": sets, "name": run.name, "runs": options.work}
        try:
            convsmith.train(**{"resume": run} if run.exists() else begin, data=data)
        except NonFiniteError:
            return 0.0
    return 100 * json.loads((run / "results.json").read_text())["test"]["top1"]


def measure(preset: str, options) -> None:
    """Sweep, train the grid and the suggestions, and print the table of one preset."""
    data = less(preset, options.data_root, options.images, options.judged)
    found = convsmith.lr(
        preset,
        data=data,
        seeds=3,
        sets=[*options.set, f"train.epochs={options.epochs}"],
        out=options.work / f"{preset}.svg",
        progress="lines",
    )
    rates = {f"grid {rate:g}": rate for rate in options.grid}
    rates |= {each.rule: float(f"{each.rate:.2g}") for each in found.suggestions if each.rate}
    rates["the recipe's"] = found.current
    reached = {}
    for name, rate in rates.items():
        seeds = [top1(preset, rate, seed, data, options) for seed in range(options.seeds)]
        reached[name] = fmean(seeds)
        print(
            f"{preset} {name} ({rate:g}): {', '.join(f'{each:.2f}' for each in seeds)}", flush=True
        )
    best = max(value for name, value in reached.items() if name.startswith("grid"))
    print(f"\n| `{preset}` | rate | top-1, % | beside the best of the grid |\n|---|---|---|---|")
    for name, rate in rates.items():
        print(f"| {name} | {rate:g} | {reached[name]:.2f} | {reached[name] - best:+.2f} |")
    print(flush=True)


def main() -> None:
    """Measure every preset."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("presets", nargs="+")
    parser.add_argument("--work", type=Path, required=True, help="outside the checkout")
    parser.add_argument("--data-root")
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--judged", type=int, default=5_000)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--grid", type=float, nargs="+", default=GRID)
    parser.add_argument("--set", action="append", default=[], help="passed on to the recipe")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    for preset in options.presets:
        measure(preset, options)


if __name__ == "__main__":
    main()
