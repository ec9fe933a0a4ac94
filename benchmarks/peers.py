"""The same training by other tools and by convsmith, one after another, round by round.

    python benchmarks/peers.py --venv DIR --install
    python benchmarks/peers.py --venv DIR --work compact --data-root DIR --rounds 3 --steps 150

`--install` makes a virtual environment with the versions of peer_scripts/requirements.txt. Each
peer runs as its documentation says and again with its best flags; convsmith runs as its public
command. All train the same network with the same batches, augmentation, optimizer and steps on the
same images, loading included; the median step after the first ten counts. The means of the last
twenty losses are printed, to show that the work was the same, and how long the whole process took.
Ratios are within a round.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
import venv
from itertools import pairwise
from pathlib import Path
from statistics import fmean, median

HERE = Path(__file__).parent
SCRIPTS = HERE / "peer_scripts"
PEERS = ["plain", "compiled_peer", "timm_peer", "fastai_peer", "lightning_peer", "keras_peer"]
WARM_UP = 10  # steps that are not counted, as in peer_scripts/common.py
OURS = "convsmith"
DATA = {"resnet18": "cifar10", "compact": "cifar10", "mnist": "mnist"}


def python(folder: Path) -> Path:
    """Return the interpreter of a virtual environment."""
    return folder / "bin" / "python"


def install(folder: Path) -> None:
    """Make the peers' environment."""
    venv.create(folder, with_pip=True)
    wanted = ["install", "-r", str(SCRIPTS / "requirements.txt")]
    subprocess.run([str(python(folder)), "-m", "pip", *wanted], check=True)


def write_arrays(source: str, data_root: str, folder: Path) -> None:
    """Write the training part as the two arrays that the peers read."""
    import numpy

    from convsmith.data import Reading, find_root, load_source

    images = load_source(source, find_root(data_root), Reading(), lambda text: None).train
    pixels = images.take(slice(None))[0].permute(0, 2, 3, 1).contiguous().numpy()
    numpy.save(folder / "images.npy", pixels[..., 0] if pixels.shape[3] == 1 else pixels)
    numpy.save(folder / "labels.npy", images.labels.numpy())


def run_peer(name: str, options: argparse.Namespace, arrays: Path, *, best: bool) -> dict:
    """Return what a peer's script prints."""
    command = [str(python(options.venv)), str(SCRIPTS / f"{name}.py"), "--work", options.work]
    command += ["--data", str(arrays), "--steps", str(options.steps), *["--best"] * best]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def run_ours(options: argparse.Namespace, runs: Path) -> dict:
    """Return what the public command did, timed as the peers are: from step's end to step's end."""
    from convsmith.recipe.load import load_recipe

    recipe = HERE / "works" / f"{options.work}.yaml"
    command = [sys.executable, "-m", "convsmith", "train", str(recipe), "--json"]
    command += ["--epochs", "1000", "--set", f"train.max_steps={options.steps}"]
    command += ["--data-root", options.data_root]
    command += ["--runs", str(runs)]
    started = time.perf_counter()
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    seconds = time.perf_counter() - started
    results = json.loads(done.stdout.splitlines()[-1])
    metrics = (Path(results["run"]) / "metrics.jsonl").read_text().splitlines()
    steps = [line for line in map(json.loads, metrics) if line["event"] == "step"]
    ends = [line["seconds"] for line in steps]
    batch = load_recipe(recipe, flags={}, sets=[], keywords={}).recipe.train.batch_size
    return {
        "images_per_second": batch / median(b - a for a, b in pairwise(ends[WARM_UP - 1 :])),
        "loss": fmean(line["loss"] for line in steps[-20:]),
        "parameters": results["parameters"],
        "seconds": seconds,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--venv", type=Path, required=True, help="the peers' environment")
    parser.add_argument("--install", action="store_true", help="only make the environment")
    parser.add_argument("--work", choices=DATA, default="compact")
    parser.add_argument("--data-root")
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=PEERS)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=60)
    options = parser.parse_args()
    if options.install:
        install(options.venv)
        return
    if options.data_root is None:
        parser.error("--data-root is missing")
    variants = [(name, best) for name in options.peers for best in (False, True)]
    found: dict[str, list[dict]] = {}
    with tempfile.TemporaryDirectory() as folder:
        write_arrays(DATA[options.work], options.data_root, Path(folder))
        for number in range(options.rounds):
            for name, best in [*variants, (OURS, False)]:
                if name == OURS:
                    result = run_ours(options, Path(folder) / "runs")
                else:
                    result = run_peer(name, options, Path(folder), best=best)
                title = name.removesuffix("_peer") + (", best flags" if best else "")
                found.setdefault(title, []).append(result)
                speed = result["images_per_second"]
                print(f"round {number + 1}: {title}: {speed:.0f}", file=sys.stderr, flush=True)
    columns = ["images/s", "convsmith against this", "last losses", "parameters", "seconds in all"]
    print(f"| {options.work} | {' | '.join(columns)} |")
    print("|---|---|---|---|---|---|")
    ours = [each["images_per_second"] for each in found[OURS]]
    for title, results in found.items():
        speeds = [each["images_per_second"] for each in results]
        ratios = [a / b for a, b in zip(ours, speeds, strict=True)]
        spread = f"{median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})"
        loss = median(each["loss"] for each in results)
        rest = f"{results[0]['parameters']:,} | {median(each['seconds'] for each in results):.1f}"
        print(f"| {title} | {median(speeds):,.0f} | {spread} | {loss:.3f} | {rest} |")


if __name__ == "__main__":
    main()
