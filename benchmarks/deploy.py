"""What compressing a trained network costs and gains on this machine, and whether that is enough.

    python benchmarks/deploy.py RUN --data-root DIR --work DIR

RUN is a finished run; a copy of it in --work is compressed, if it was not before, by
`convsmith compress`. Its figures are those in the copy's compress.json; only how far folding moves
the logits is measured here. Prints Markdown; the last table says for each demand what was measured.
Run it on a quiet machine. `convsmith bench` times other engines.
"""

import argparse
import copy
import json
import shutil
from pathlib import Path
from statistics import median

import torch

import convsmith
from convsmith.api.compress import BATCHES
from convsmith.compression.fuse import fuse

KINDS = ("fuse", "bf16", "weights", "static", "full", "dynamic", "qat", "prune")
FASTER, SMALLER, STATIC_LOSS, QAT_LOSS = 4.5, 3.8, 0.003, 0.002


def copied(run: Path, work: Path) -> Path:
    """Copy a run, once."""
    target = work / run.name
    if not target.exists():
        shutil.copytree(run, target, ignore=shutil.ignore_patterns("checkpoints"))
    return target


def folding_error(run: Path) -> tuple[float, float]:
    """Return how far folding moves the logits: in float64, and in fp32 relative to the largest."""
    model = convsmith.load(run)
    module, card = model.module, model.card
    images = torch.randn(32, card.channels, *card.image_size, dtype=torch.float64)
    double = copy.deepcopy(module).double()
    with torch.inference_mode():
        exact = double(images)
        far = float((fuse(double, images[:2]).model(images) - exact).abs().max())
        single = module(images.float())
        other = fuse(module, images[:2].float()).model(images.float())
        near = float((other - single).abs().max() / single.abs().max())
    return far, near


def table(found: dict) -> None:
    batches = [batch for batch in found["variants"][0]["throughput"] if batch != "1"]
    print(f"\nOn {found['cpu']}, {found['threads']} threads, {', '.join(found['int8'])}.\n")
    head = "| variant | MiB | test top-1, % | lost, pp | agrees, % | one image, ms "
    print(f"{head}| images/s at {', '.join(batches)} | |\n{'|---' * 8}|")
    for each in found["variants"]:
        test = each["test"]
        cells = (
            f"`{each['name']}`",
            f"{each['bytes'] / 2**20:.2f}",
            f"{100 * test['top1']:.2f}",
            lost(test),
            f"{100 * test['agreement']:.2f}",
            f"{1e3 * each['latency']:.2f}",
            ", ".join(f"{each['throughput'][batch]:,.0f}" for batch in batches),
            "; ".join(each["marks"]),
        )
        print(f"| {' | '.join(cells)} |")


def lost(test: dict) -> str:
    low, high = test["interval"]
    shown = f"{100 * test['drop']:.2f} ({100 * low:.2f} to {100 * high:.2f})"
    return shown.replace("-", "−")


def demands(found: dict, run: Path) -> None:
    variants = {each["name"]: each for each in found["variants"]}
    rows = []
    for name, most in (("static", STATIC_LOSS), ("qat", QAT_LOSS)):
        if name in variants:
            test = variants[name]["test"]
            met = test["drop"] <= most
            rows.append((f"{name} loses at most {100 * most:.1f} pp", lost(test), met))
    if "static" in variants:
        eager, static = (variants[each]["throughput"] for each in ("original", "static"))
        gains = {batch: static[batch] / eager[batch] for batch in static if batch != "1"}
        shown = ", ".join(f"{gain:.2f} at {batch}" for batch, gain in gains.items())
        middle = median(gains.values())
        rows.append((f"static {FASTER} times as fast as eager fp32", shown, middle >= FASTER))
        smaller = variants["original"]["bytes"] / variants["static"]["bytes"]
        rows.append((f"static {SMALLER} times smaller", f"{smaller:.2f}", smaller >= SMALLER))
    far, near = folding_error(run)
    rows.append(("folding equal to 1e-9 in float64", f"{far:.1e}", far <= 1e-9))
    rows.append(("folding equal to 1e-4 in fp32", f"{near:.1e}", near <= 1e-4))
    print("\n| demand | measured | met |\n|---|---|---|")
    for name, shown, met in rows:
        print(f"| {name} | {shown} | {'yes' if met else 'no'} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--data-root", required=True)
    parser.add_argument("--work", type=Path, required=True, help="outside the checkout")
    parser.add_argument("--kinds", nargs="*", choices=KINDS, default=list(KINDS))
    parser.add_argument("--qat-epochs", type=float, default=0.3, help="of prune too")
    parser.add_argument("--images", type=int, help="of each part; all by default")
    parser.add_argument("--batches", type=int, nargs="*", default=list(BATCHES))
    parser.add_argument("--again", action="store_true", help="compress anew")
    options = parser.parse_args()
    run = copied(options.run, options.work)
    if options.again or not (run / "compress.json").exists():
        convsmith.compress(
            run,
            options.kinds,
            images=options.images,
            epochs=options.qat_epochs,
            batches=options.batches,
            sensitivity=True,
            data_root=options.data_root,
            say=lambda text: print(text, flush=True),
        )
    found = json.loads((run / "compress.json").read_text())
    table(found)
    demands(found, run)


if __name__ == "__main__":
    main()
