"""Does fine-tuning from a local backbone file beat training from nothing on 300 photographs?

    python benchmarks/finetune.py --cifar DIR --work DIR --seeds 3

DIR of --cifar holds train/<class>/ and test/<class>/ of CIFAR-10 as image files. Three of its
classes become 300 photographs of mixed sizes and formats; a backbone is trained on the seven
others; then the same recipe is trained on the photographs from nothing and from the backbone's
file, with equal seeds. What exists is read, what was interrupted is resumed. Prints Markdown.
"""

import argparse
import json
import random
import subprocess
import sys
from pathlib import Path
from statistics import fmean, stdev

from PIL import Image

PHOTOGRAPHED = ("airplane", "frog", "truck")
COUNT = 100  # of each class
WIDTHS = "model.widths=[32,64,128,256]"


def photographs(cifar: Path, folder: Path) -> None:
    """Write the photographs: sides of 60 to 560 pixels, four formats."""
    draw = random.Random(0)
    for label in PHOTOGRAPHED:
        (folder / label).mkdir(parents=True, exist_ok=True)
        files = sorted((cifar / "train" / label).iterdir())
        for number, path in enumerate(draw.sample(files, COUNT)):
            width = draw.randint(60, 400)
            size = (width, round(width * draw.uniform(0.7, 1.4)))
            kind = draw.choice(["jpg", "png", "webp", "bmp"])
            with Image.open(path) as image:
                large = image.convert("RGB").resize(size, Image.Resampling.BICUBIC)
                large.save(folder / label / f"{number:03d}.{kind}")


def manifest(cifar: Path, path: Path) -> None:
    """List the images of the other classes in a CSV file."""
    rows = ["path,label,split"]
    for part in ("train", "test"):
        for folder in sorted((cifar / part).iterdir()):
            if folder.name not in PHOTOGRAPHED:
                files = sorted(folder.iterdir())
                rows += [f"{file.absolute()},{folder.name},{part}" for file in files]
    path.write_text("\n".join(rows) + "\n")


def results(runs: Path, name: str, words: list[str]) -> dict:
    """Return the results of one run, training it first if need be."""
    run = runs / name
    if not (run / "results.json").exists():
        begin = [*words, "--name", name, "--runs", str(runs)]
        arguments = ["--resume", str(run)] if run.exists() else begin
        subprocess.run([sys.executable, "-m", "convsmith", "train", *arguments], check=True)
    return json.loads((run / "results.json").read_text())


def main() -> None:
    """Make the data, train the backbone, train both ways with every seed, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cifar", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True, help="outside the checkout")
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    work = options.work
    work.mkdir(parents=True, exist_ok=True)
    if not (work / "photographs").exists():
        photographs(options.cifar, work / "photographs")
        manifest(options.cifar, work / "others.csv")
    backbone = [
        *("cifar10-resnet18", "--data", f"csv:{work / 'others.csv'}", "--epochs", "6"),
        *("--set", WIDTHS, "--set", "data.image_size=32"),
    ]
    found = results(work, "backbone", backbone)
    print(f"backbone: {100 * found['test']['top1']:.2f} % on its own seven classes\n")
    ways = {
        "from nothing": [],
        "fine-tuned": [
            *("--set", f"transfer.weights={work / 'backbone' / 'weights.safetensors'}"),
            *("--set", "transfer.head_epochs=3", "--set", "transfer.backbone_rate=0.2"),
        ],
    }
    print("| way | test top-1, % (mean ± s.d.) | seeds | time |\n|---|---|---|---|")
    for way, words in ways.items():
        base = ["folder", "--data", f"folder:{work / 'photographs'}", "--set", WIDTHS]
        name = way.replace(" ", "-")
        all_found = [
            results(work, f"{name}-{seed}", [*base, "--seed", str(seed), *words])
            for seed in range(options.seeds)
        ]
        tops = [100 * each["test"]["top1"] for each in all_found]
        each = ", ".join(f"{top:.1f}" for top in tops)
        spread = stdev(tops) if len(tops) > 1 else 0.0
        seconds = fmean(found["seconds"] for found in all_found)
        print(f"| {way} | {fmean(tops):.1f} ± {spread:.1f} | {each} | {seconds:.0f} s |")


if __name__ == "__main__":
    main()
