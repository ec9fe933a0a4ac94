"""What compressing a trained network costs and gains on this machine, and whether that is enough.

    python benchmarks/deploy.py RUN --data-root DIR --work DIR --qat-epochs 0.5

RUN is a finished run; a copy of it in --work is compressed, if it was not before, by
`convsmith compress`. Then all files take their turns in ONNX Runtime and, if it is installed, in
OpenVINO, beside the run's own network in PyTorch. Prints Markdown; the last table says for each
demand what was measured. Run it on a quiet machine.
"""

import argparse
import copy
import importlib.util
import json
import shutil
from pathlib import Path
from statistics import median

import torch

import convsmith
from convsmith.compression.fuse import fuse
from convsmith.compression.measure import onnx_runner, time_all, torch_runner
from convsmith.exporting.graph import Input

KINDS = ("fuse", "bf16", "weights", "static", "full", "dynamic", "qat", "prune")
BATCHES = (1, 32, 64, 128, 256)
FASTER, SMALLER, STATIC_LOSS, QAT_LOSS = 4.5, 3.8, 0.003, 0.002


def copied(run: Path, work: Path) -> Path:
    """Copy a run, once."""
    target = work / run.name
    if not target.exists():
        shutil.copytree(run, target, ignore=shutil.ignore_patterns("checkpoints"))
    return target


def openvino_runner(path: Path, threads: int):
    """Return what runs an ONNX file in OpenVINO."""
    import openvino

    hints = {"PERFORMANCE_HINT": "THROUGHPUT", "INFERENCE_PRECISION_HINT": "f32"}
    compiled = openvino.Core().compile_model(
        str(path), "CPU", {"INFERENCE_NUM_THREADS": threads, **hints}
    )
    output = compiled.output("output")
    return lambda images: compiled(images)[output]


def runners(run: Path, threads: int) -> dict:
    """Return every engine and file that is timed."""
    model = convsmith.load(run)
    card = model.card
    given = Input(card.channels, card.image_size, card.mean, card.std, card.scale)
    folded = fuse(model.module, torch.zeros(2, card.channels, *card.image_size)).model
    last = torch.channels_last
    found = {
        "PyTorch fp32, eager": torch_runner(model.module, given),
        "PyTorch fp32, eager, channels_last": torch_runner(
            copy.deepcopy(model.module).to(memory_format=last), given, torch.float32, last
        ),
        "PyTorch bf16, folded, channels_last": torch_runner(
            copy.deepcopy(folded).to(torch.bfloat16).to(memory_format=last),
            given,
            torch.bfloat16,
            last,
        ),
    }
    for path in sorted((run / "compressed").glob("*.onnx")):
        found[f"ONNX Runtime {path.stem}"] = onnx_runner(path.read_bytes(), threads)
    if importlib.util.find_spec("openvino"):
        for name in ("fuse", "static", "qat"):
            path = run / "compressed" / f"{name}.onnx"
            if path.exists():
                found[f"OpenVINO {name}"] = openvino_runner(path, threads)
    return found


def folding_error(run: Path) -> tuple[float, float]:
    """Return how far folding moves the logits: in float64, and in fp32 relative to the largest."""
    module = convsmith.load(run).module
    card = convsmith.load(run).card
    images = torch.randn(32, card.channels, *card.image_size, dtype=torch.float64)
    double = copy.deepcopy(module).double()
    with torch.inference_mode():
        exact = double(images)
        far = float((fuse(double, images[:2]).model(images) - exact).abs().max())
        single = module(images.float())
        other = fuse(module, images[:2].float()).model(images.float())
        near = float((other - single).abs().max() / single.abs().max())
    return far, near


def accuracy_table(found: dict) -> None:
    print(f"\nOn {found['cpu']}, {found['threads']} threads, {', '.join(found['int8'])}.\n")
    print("| variant | size | test top-1 | lost, pp (95 %) | agrees | integer layers | marks |")
    print("|---|---|---|---|---|---|---|")
    for each in found["variants"]:
        test, (low, high) = each["test"], each["test"]["interval"]
        lost = f"{100 * test['drop']:.2f} ({100 * low:.2f} to {100 * high:.2f})"
        print(
            f"| {each['name']} | {each['bytes'] / 2**20:.2f} MiB | {test['top1']:.2%} | {lost} "
            f"| {test['agreement']:.2%} | {each['integer_layers']} | {'; '.join(each['marks'])} |"
        )


def time_table(times: dict[str, dict[int, float]], batches: tuple[int, ...]) -> None:
    title = " | ".join(f"{batch} a batch, images/s" for batch in batches if batch > 1)
    print(f"\n| engine and file | one image, ms | {title} | at 32, times eager |")
    print(f"|---|---|{'---|' * (len(batches) - 1)}---|")
    eager = times["PyTorch fp32, eager"]
    for name, each in times.items():
        rates = " | ".join(f"{batch / each[batch]:,.0f}" for batch in batches if batch > 1)
        faster = eager[32] / each[32]
        print(f"| {name} | {1e3 * each[1]:.2f} | {rates} | {faster:.2f} |")


def demands(found: dict, times: dict[str, dict[int, float]], run: Path) -> None:
    variants = {each["name"]: each for each in found["variants"]}
    rows = []
    for name, most in (("static", STATIC_LOSS), ("qat", QAT_LOSS)):
        if name in variants:
            test = variants[name]["test"]
            low, high = test["interval"]
            shown = f"{100 * test['drop']:.2f} pp ({100 * low:.2f} to {100 * high:.2f})"
            rows.append((f"{name} loses at most {100 * most:.1f} pp", shown, test["drop"] <= most))
    if "static" in variants:
        eager, static = times["PyTorch fp32, eager"], times["ONNX Runtime static"]
        gains = {batch: eager[batch] / static[batch] for batch in static if batch > 1}
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
    parser.add_argument("--qat-epochs", type=float, default=0.5)
    parser.add_argument("--images", type=int, help="of each part; all by default")
    parser.add_argument("--batches", type=int, nargs="*", default=list(BATCHES))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.5)
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
    accuracy_table(found)
    threads = torch.get_num_threads()
    batches = tuple(sorted({1, 32, *options.batches}))
    shape = (max(batches), convsmith.load(run).card.channels, *convsmith.load(run).card.image_size)
    images = torch.randint(0, 256, shape, dtype=torch.uint8).numpy()
    times = time_all(
        runners(run, threads), images, batches, rounds=options.rounds, seconds=options.seconds
    )
    time_table(times, batches)
    demands(found, times, run)


if __name__ == "__main__":
    main()
