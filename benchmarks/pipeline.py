"""Images a second that crop, flip and normalisation alone allow, the network left out.

    python benchmarks/pipeline.py --data-root DIR --rounds 5

Takes the training batches of the works on CIFAR-10, at several batch sizes in turn.
"""

import argparse
import time
from itertools import islice
from pathlib import Path
from statistics import median

import torch

from convsmith.data import find_root
from convsmith.data.batches import TrainBatches
from convsmith.recipe.build import augmentation, read_source, split
from convsmith.recipe.load import load_recipe
from convsmith.training.memory import keep_freed_memory

STEPS = 200
WORK = Path(__file__).parent / "works" / "compact.yaml"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-root", required=True)
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[32, 128])
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    keep_freed_memory()
    recipe = load_recipe(WORK).recipe
    source = read_source(recipe, find_root(options.data_root), lambda text: None)
    parts = split(recipe, source)
    found: dict[int, list[float]] = {size: [] for size in options.batch_sizes}
    for number in range(options.rounds):
        for size, speeds in found.items():
            batches = TrainBatches(
                parts.train,
                parts.normalise,
                batch_size=size,
                augment=augmentation(recipe, source),
                seed=number,
                device=torch.device("cpu"),
                memory_format=torch.channels_last,
            ).epoch(number)
            list(islice(batches, 10))
            started = time.perf_counter()
            for _ in islice(batches, STEPS):
                pass
            speeds.append(size * STEPS / (time.perf_counter() - started))
    print("| batch | images/s, median (least-most) |\n|---|---|")
    for size, speeds in found.items():
        print(f"| {size} | {median(speeds):,.0f} ({min(speeds):,.0f}-{max(speeds):,.0f}) |")


if __name__ == "__main__":
    main()
