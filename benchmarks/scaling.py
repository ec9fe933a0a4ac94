"""How speed and memory change with image size, batch, width, depth and the size of the data set.

    python benchmarks/scaling.py --rounds 3 --chart docs/scaling.png
    python benchmarks/scaling.py --jpegs 2000 --rounds 3

Every point is a training of a residual network in a process of its own, on random images; in each
round all points take their turn. The growth is the slope between the ends of a line on logarithmic
axes: of the time an image against its pixels, the batch, the multiply-adds that width and depth
make, or the number of images. 1 is linear, below 1 better; the steepest is that between neighbours.
What is streamed is read from a mapped file by other processes, as from a store. `--jpegs` compares
decoding 224-pixel JPEGs alone with reading them into a store, and with streaming augmented batches
from it.
"""

import argparse
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from statistics import median

STEPS = 22  # of which the first ten are not counted


@dataclass(frozen=True)
class Point:
    """One training; ``width`` multiplies 16-32-64-128 filters, ``depth`` is blocks a stage."""

    side: int = 32
    batch: int = 64
    width: float = 1.0
    depth: int = 1
    images: int = 2048
    stream: bool = False

    def cost(self) -> float:
        """Return what grows with width and depth: multiply-adds an image, but for a factor."""
        return self.width**2 * self.depth


BASE = Point()
LINES: dict[str, tuple[str, list[Point]]] = {
    "image size": ("pixels", [replace(BASE, side=s, batch=16) for s in (28, 56, 112, 224)]),
    "batch": ("images a batch", [replace(BASE, batch=b) for b in (8, 32, 128, 512)]),
    "width": ("multiply-adds", [replace(BASE, width=w) for w in (0.5, 1, 2, 4)]),
    "depth": ("multiply-adds", [replace(BASE, depth=d) for d in (1, 2, 4, 8)]),
    "data in memory": ("images", [replace(BASE, images=n) for n in (2048, 16384, 131072)]),
    "data streamed": (
        "images",
        [replace(BASE, images=n, stream=True) for n in (2048, 16384, 131072)],
    ),
}


def across(name: str, point: Point) -> float:
    """Return where a point stands on the horizontal axis of its line."""
    if name == "image size":
        return point.side**2
    if name == "batch":
        return point.batch
    return point.cost() if name in ("width", "depth") else point.images


def train(point: Point) -> dict[str, float]:
    """Train and return images per second and bytes at most."""
    import torch

    import convsmith
    from convsmith.models.resnet import resnet

    draw = torch.Generator().manual_seed(0)
    shape = (point.images, point.side, point.side, 3)
    pixels = torch.randint(0, 256, shape, dtype=torch.uint8, generator=draw)
    labels = torch.arange(point.images) % 10
    widths = tuple(round(width * point.width) for width in (16, 32, 64, 128))
    network = resnet(10, 3, stem=widths[0], widths=widths, depth=point.depth)
    settings = {
        "train.batch_size": point.batch,
        "train.max_steps": STEPS,
        "train.epochs": 1000,
        "train.precision": "bf16",
        "train.memory_format": "channels_last",
        "data.validation": 0,
        "data.augment": "{crop: 4, flip: 0.5}",
        "data.loading.stream": "yes" if point.stream else "no",
    }
    with tempfile.TemporaryDirectory() as runs:
        if point.stream:
            path, count = f"{runs}/pixels.bin", pixels.numel()
            pixels.numpy().tofile(path)
            pixels = torch.from_file(path, size=count, dtype=torch.uint8).view(shape)
        pixels = pixels.permute(0, 3, 1, 2)
        run = convsmith.train(
            "digits",
            model=network,
            data=convsmith.own_source((pixels, labels), (pixels[:16], labels[:16])),
            sets=[f"{name}={value}" for name, value in settings.items()],
            runs=runs,
            progress="none",
        )
        results = run.results
    return {"images_per_second": results.images_per_second, "bytes": results.peak_memory_bytes}


def measure(point: Point) -> dict[str, float]:
    """Measure one point in a process of its own."""
    command = [sys.executable, __file__, "--point", json.dumps(asdict(point))]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def growth(xs: list[float], speeds: list[float]) -> float:
    """Return the slope of the time an image between the ends of a line, both as logarithms."""
    return math.log(speeds[0] / speeds[-1]) / math.log(xs[-1] / xs[0])


def steepest(xs: list[float], speeds: list[float]) -> float:
    """Return the largest growth between neighbours."""
    pairs = zip(pairwise(xs), pairwise(speeds), strict=True)
    return max(growth(list(across), list(speed)) for across, speed in pairs)


def draw(found: dict[str, list[tuple[float, float, float]]], path: Path) -> None:
    """Write a picture of all lines, with the charts of convsmith's own pages."""
    from playwright.sync_api import sync_playwright

    from convsmith.reporting.charts import LineChart, Series, line_chart

    style = Path(__file__).parents[1] / "src/convsmith/reporting/templates/style.css"
    charts = []
    for name, points in found.items():
        label = f"{LINES[name][0]}, as a power of two"
        for title, column, unit in (("images/s", 1, "images/s"), ("memory", 2, "GiB")):
            line = Series(name, tuple((math.log2(each[0]), each[column]) for each in points))
            chart = LineChart(
                f"{name}-{title}".replace(" ", "-"),
                f"{name}: {title}",
                label,
                (line,),
                unit=unit,
                from_zero=True,
                small=True,
            )
            charts.append(f"<div>{line_chart(chart)}</div>")
    grid = "display:grid;grid-template-columns:repeat(4,1fr);gap:1rem;padding:1rem"
    page = f"<style>{style.read_text()}</style><div style='{grid}'>{''.join(charts)}</div>"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        view = browser.new_page(viewport={"width": 1500, "height": 900})
        view.set_content(page)
        view.screenshot(path=path, full_page=True)
        browser.close()


def sweep(rounds: int, chart: Path | None) -> None:
    """Measure all points, round by round, and print the table."""
    points = [point for _, line in LINES.values() for point in line]
    found: dict[Point, list[dict[str, float]]] = {point: [] for point in points}
    for number in range(rounds):
        for point in found:
            found[point].append(measure(point))
            print(f"round {number + 1}: {point}: {found[point][-1]}", file=sys.stderr, flush=True)
    lines: dict[str, list[tuple[float, float, float]]] = {}
    print("| | from | to | images/s | GiB at most | growth of the time an image | steepest |")
    print("|---|---|---|---|---|---|---|")
    for name, (unit, line) in LINES.items():
        xs = [across(name, point) for point in line]
        speeds = [median(each["images_per_second"] for each in found[point]) for point in line]
        sizes = [median(each["bytes"] for each in found[point]) / 2**30 for point in line]
        lines[name] = list(zip(xs, speeds, sizes, strict=True))
        print(
            f"| {name} | {xs[0]:,g} | {xs[-1]:,g} {unit} | "
            f"{', '.join(f'{speed:,.0f}' for speed in speeds)} | "
            f"{', '.join(f'{size:.2f}' for size in sizes)} | {growth(xs, speeds):.2f} | "
            f"{steepest(xs, speeds):.2f} |"
        )
    if chart is not None:
        draw(lines, chart)


def jpegs(count: int, rounds: int) -> None:
    """Compare decoding alone with reading into a store and with streaming from it."""
    import numpy
    from PIL import Image

    from convsmith.data import Reading, load_source
    from convsmith.data.augment import LEVELS
    from convsmith.data.decode import decode
    from convsmith.data.normalise import Normalise
    from convsmith.training.memory import keep_freed_memory

    keep_freed_memory()  # as a training does
    with tempfile.TemporaryDirectory() as work:
        os.environ["XDG_CACHE_HOME"] = f"{work}/cache"
        photographs, draw = Path(work) / "photographs", numpy.random.default_rng(0)
        for number in range(count):
            small = draw.integers(0, 256, (14, 14, 3), dtype=numpy.uint8)
            image = Image.fromarray(small).resize((224, 224), Image.Resampling.BICUBIC)
            folder = photographs / ("train" if number % 20 else "test") / "ab"[number % 2]
            folder.mkdir(parents=True, exist_ok=True)
            image.save(folder / f"{number}.jpg", quality=90)
        files, reading = sorted(photographs.rglob("*.jpg")), Reading(image_size=(224, 224))
        rows: dict[str, list[float]] = {"decoding alone": [], "into a store": [], "streamed": []}
        for _ in range(rounds):
            started = time.perf_counter()
            with ThreadPoolExecutor(os.cpu_count()) as pool:
                for _ in pool.map(lambda path: decode(path, 3, (224, 224), "stretch"), files):
                    pass
            rows["decoding alone"].append(len(files) / (time.perf_counter() - started))
            shutil.rmtree(f"{work}/cache", ignore_errors=True)
            started = time.perf_counter()
            source = load_source(f"folder:{photographs}", None, reading, lambda text: None)
            rows["into a store"].append(len(files) / (time.perf_counter() - started))
            rows["streamed"].append(streamed(source, LEVELS["light"](source), Normalise))
    print("| 224-pixel JPEGs | images/s, median (least-most) | of decoding alone |\n|---|---|---|")
    for name, speeds in rows.items():
        ratios = [a / b for a, b in zip(speeds, rows["decoding alone"], strict=True)]
        spread = f"{median(speeds):,.0f} ({min(speeds):,.0f}-{max(speeds):,.0f})"
        print(f"| {name} | {spread} | {median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f}) |")


def streamed(source, augment, normalise) -> float:
    """Return images a second of batches that two processes read ahead, augmented, normalised."""
    import torch

    from convsmith.data.batches import Loading, TrainBatches

    batches = TrainBatches(
        source.train,
        normalise((0.5,) * 3, (0.25,) * 3),
        batch_size=64,
        augment=augment,
        seed=0,
        device=torch.device("cpu"),
        memory_format=torch.channels_last,
        loading=Loading(stream=True, workers=2),
    )
    for _ in batches.epoch(0):
        pass  # the processes start
    started, images = time.perf_counter(), 0
    for pixels, _ in batches.epoch(1):
        images += len(pixels)
    return images / (time.perf_counter() - started)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--chart", type=Path, help="a PNG file; needs chromium")
    parser.add_argument("--jpegs", type=int, help="only this comparison, with so many files")
    parser.add_argument("--point", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.point is not None:
        print(json.dumps(train(Point(**json.loads(options.point)))))
    elif options.jpegs is not None:
        jpegs(options.jpegs, options.rounds)
    else:
        sweep(options.rounds, options.chart)


if __name__ == "__main__":
    main()
