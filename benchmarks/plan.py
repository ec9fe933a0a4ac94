"""How near `convsmith plan` comes: its memory and time against trainings of several networks.

    python benchmarks/plan.py
    python benchmarks/plan.py --limited
    python benchmarks/plan.py --formulas
    python benchmarks/plan.py --gpu

Each training is a process of its own, of some steps on images of noise; its growth is its
high-water mark less what it held after `import torch`. Networks under "unseen" were never run while
the planner was built. The parts of an error are those of the tensors (fake against real ones) and
of what the process holds besides. With --limited, a training that needs some 8 GiB is made within
3 GiB instead, and its losses are compared with those of the same training without a limit.
--formulas compares the usual hand formula with what a step holds; nothing is trained. --gpu
trains on a GPU, with deterministic algorithms and with the fastest, and compares what PyTorch
allocated there: cuDNN's workspaces are in it, and no plan knows them.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True)
class Work:
    model: str
    side: int
    precision: str
    batches: tuple[int, int, int]
    channels: int = 3
    unseen: bool = False


WORKS = (
    Work("mnist_bn", 28, "fp32", (64, 256, 1024), channels=1),
    Work("compact_cnn", 32, "bf16", (64, 128, 256)),
    Work("vgg_bn", 32, "bf16", (32, 128, 256)),
    Work("resnet_small", 32, "bf16", (32, 64, 128)),
    Work("torchvision/mobilenet_v2", 64, "fp32", (16, 32, 64), unseen=True),
    Work("torchvision/shufflenet_v2_x1_0", 64, "bf16", (32, 64, 128), unseen=True),
    Work("torchvision/densenet121", 64, "fp32", (8, 16, 32), unseen=True),
    Work("timm/convnext_atto", 64, "fp32", (16, 32, 64), unseen=True),
    Work("timm/regnety_004", 64, "bf16", (32, 64, 128)),
    Work("torchvision/efficientnet_b0", 64, "bf16", (16, 32, 64), unseen=True),
)
STEPS = 16  # the first ten do not count for the time


def recipe(work: Work, batch: int) -> dict[str, object]:
    return {
        "data": {"source": "own", "validation": 0, "augment": "none"},
        "model": work.model,
        "optimizer": {"name": "momentum", "learning_rate": 0.001},
        "train": {
            "epochs": STEPS,
            "max_steps": STEPS,
            "batch_size": batch,
            "precision": work.precision,
            "memory_format": "channels_last",
        },
    }


def noise(work: Work, batch: int):
    import torch

    from convsmith.data import own_source

    draw = torch.Generator().manual_seed(0)
    size = (2 * batch, work.channels, work.side, work.side)
    pixels = torch.randint(0, 256, size, dtype=torch.uint8, generator=draw)
    labels = torch.arange(2 * batch) % 10
    return own_source((pixels, labels), (pixels[:batch], labels[:batch]))


def trained(work: Work, batch: int) -> dict[str, float]:
    """Train; return how far the process has grown, and the seconds of a step."""
    import torch

    from convsmith.training.memory import peak_bytes

    before = peak_bytes(torch.device("cpu"))
    import convsmith

    with tempfile.TemporaryDirectory() as runs:
        run = convsmith.train(
            recipe(work, batch), data=noise(work, batch), runs=runs, progress="none"
        )
        grown = peak_bytes(torch.device("cpu")) - before
        return {"bytes": grown, "seconds": batch / run.results.images_per_second}


def planned(work: Work, batch: int) -> dict[str, float]:
    """Plan; return what is foreseen of the process's growth and of its tensors."""
    import convsmith

    plan = convsmith.plan(recipe(work, batch), data=noise(work, batch), device="cpu")
    memory = plan.memory
    return {
        "bytes": memory.training,
        "tensors": memory.training - memory.runtime - memory.data,
        "seconds": plan.step_seconds,
    }


def alive(work: Work, batch: int) -> dict[str, float]:
    """Return the most bytes that real tensors hold in a step."""
    import torch

    from convsmith.data.facts import facts_of
    from convsmith.planning.tape import Tape
    from convsmith.planning.trace import Owners, make_step
    from convsmith.recipe.build import build_model, build_optimizer
    from convsmith.recipe.load import load_recipe

    torch.use_deterministic_algorithms(False)
    loaded = load_recipe(recipe(work, batch), flags={}, sets=[], keywords={}).recipe
    known = facts_of(noise(work, batch))
    model = build_model(loaded, known.classes, known.channels, known.image_size)
    model = model.to(memory_format=torch.channels_last)
    images = torch.randn(batch, known.channels, *known.image_size)
    images = images.contiguous(memory_format=torch.channels_last)
    labels = torch.zeros(batch, dtype=torch.int64)
    optimizer, owners = build_optimizer(loaded, model), Owners()
    held = sum(t.nbytes for t in (*model.parameters(), *model.buffers()))
    with Tape(owners.current) as tape:
        for tensor in (*model.parameters(), *model.buffers(), images, labels):
            tensor.detach()  # seen, though a view takes nothing
        for _ in range(2):
            make_step(model, optimizer, (images, labels), work.precision, (), owners, tape)
    return {"tensors": tape.peak, "weights": held}


PARTS = {
    "trained": lambda number, batch: trained(WORKS[number], batch),
    "planned": lambda number, batch: planned(WORKS[number], batch),
    "alive": lambda number, batch: alive(WORKS[number], batch),
    "deterministic": lambda number, batch: trained_on_gpu(GPU_WORKS[number], batch, True),
    "fastest": lambda number, batch: trained_on_gpu(GPU_WORKS[number], batch, False),
}


def apart(part: str, number: int, batch: int) -> dict[str, float]:
    """Do one part in a process of its own."""
    words = ["--part", part, "--work", str(number), "--batch", str(batch)]
    command = [sys.executable, "-W", "ignore", __file__, *words]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{part} of network {number}: {done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def compare(options: argparse.Namespace) -> None:
    head = ("network", "precision", "batch", "GiB measured", "planned", "of it tensors", "besides")
    print("|", " | ".join((*head, "ms a step measured", "planned")), "|\n" + "|---" * 9 + "|")
    apart("planned", 0, WORKS[0].batches[0])  # measures the machine, while it does nothing else
    measured = {}
    for number, work in enumerate(WORKS):  # first, for their times want a machine to themselves
        for batch in work.batches:
            measured[number, batch] = apart("trained", number, batch)
            print(f"{work.model} {batch}: {measured[number, batch]}", file=sys.stderr, flush=True)
    sizes, times, tensors, besides = [], [], [], []
    for number, work in enumerate(WORKS):
        for batch in work.batches:
            real = measured[number, batch]
            told = apart("planned", number, batch)
            held = apart("alive", number, batch)
            sizes.append(told["bytes"] / real["bytes"] - 1)
            times.append(told["seconds"] / real["seconds"] - 1)
            tensors.append((told["tensors"] - held["tensors"]) / real["bytes"])
            besides.append(sizes[-1] - tensors[-1])
            name = work.model + (" (unseen)" if work.unseen else "")
            print(
                f"| {name} | {work.precision} | {batch} | {real['bytes'] / 2**30:.2f} | "
                f"{sizes[-1]:+.0%} | {tensors[-1]:+.1%} | {besides[-1]:+.0%} | "
                f"{1e3 * real['seconds']:.0f} | {times[-1]:+.0%} |",
                flush=True,
            )
    unseen = [work.unseen for work in WORKS for _ in work.batches]
    for title, chosen in (("all", [True] * len(unseen)), ("unseen", unseen)):
        for what, found in (("memory", sizes), ("time", times)):
            errors = [abs(error) for error, take in zip(found, chosen, strict=True) if take]
            print(f"{what}, {title}: median error {median(errors):.1%}, worst {max(errors):.1%}")


# A training of some 8 GiB; GroupNorm sees one image at a time, so micro-batches change nothing.
LARGE = Work("resnet_small", 64, "fp32", (320, 320, 320))


def large(limit: str) -> dict[str, object]:
    import torch

    import convsmith
    from convsmith.api.budget import load_libraries
    from convsmith.training.memory import peak_bytes

    data = noise(LARGE, LARGE.batches[0])
    load_libraries()
    before = peak_bytes(torch.device("cpu"))
    words = recipe(LARGE, LARGE.batches[0]) | {
        "model": {"name": LARGE.model, "norm": "group"},
        "budget": {"memory": limit},
    }
    words["train"] |= {"epochs": 3, "max_steps": 6, "log_every": 1}
    with tempfile.TemporaryDirectory() as runs:
        run = convsmith.train(words, data=data, runs=runs, progress="lines")
        losses = [each["loss"] for each in run.metrics if each["event"] == "step"]
    return {"bytes": peak_bytes(torch.device("cpu")) - before, "losses": losses}


def limited() -> None:
    found = {}
    for limit in ("none", "3GiB"):
        command = [sys.executable, "-W", "ignore", __file__, "--large", limit]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(done.stderr[-2000:])
        found[limit] = json.loads(done.stdout.splitlines()[-1])
        notes = [line for line in done.stderr.splitlines() if line.startswith("note: to fit")]
        print(f"limit {limit}: grown by {found[limit]['bytes'] / 2**30:.2f} GiB;", *notes)
        print("losses", *(f"{loss:.6f}" for loss in found[limit]["losses"]), flush=True)
    pairs = zip(found["none"]["losses"], found["3GiB"]["losses"], strict=True)
    print(f"largest difference of the losses: {max(abs(a / b - 1) for a, b in pairs):.1e}")


def formulas() -> None:
    import torch

    import convsmith

    print(
        "| network | precision | batch | alive in a step | 4 x outputs + 8 x parameters | off by |"
    )
    print("|---|---|---|---|---|---|")
    for work in WORKS:
        batch = work.batches[1]
        plan = convsmith.plan(recipe(work, batch), data=noise(work, batch), device="t4")
        real = plan.memory.training
        outputs = sum(torch.Size(layer.output).numel() for layer in plan.layers)
        told = 4 * batch * outputs + 2 * 4 * plan.parameters
        sizes = f"{real / 2**20:,.0f} MiB | {told / 2**20:,.0f} MiB | {told / real - 1:+.0%}"
        print(f"| {work.model} | {work.precision} | {batch} | {sizes} |")


GPU_WORKS = (
    Work("resnet_wide3", 32, "fp16", (256, 256, 256)),
    Work("resnet_wide3", 32, "fp32", (256, 256, 256)),
    Work("resnet_small", 32, "bf16", (128, 128, 128)),
    Work("vgg_bn", 32, "bf16", (128, 128, 128)),
    Work("torchvision/resnet50", 224, "bf16", (64, 64, 64)),
    Work("torchvision/mobilenet_v2", 224, "fp32", (32, 32, 32)),
)


def trained_on_gpu(work: Work, batch: int, deterministic: bool) -> dict[str, float]:
    """Train on a GPU; return what PyTorch allocated there at most, and the seconds of a step."""
    import convsmith

    words = recipe(work, batch)
    words["train"] |= {"deterministic": deterministic, "device": "cuda"}
    with tempfile.TemporaryDirectory() as runs:
        run = convsmith.train(words, data=noise(work, batch), runs=runs, progress="none")
        results = run.results
        return {"bytes": results.peak_memory_bytes, "seconds": batch / results.images_per_second}


def on_gpu() -> None:
    import convsmith

    head = ("network", "precision", "batch", "planned", "deterministic", "fastest", "ms a step")
    print("|", " | ".join((*head, "planned")), "|\n" + "|---" * 8 + "|")
    for number, work in enumerate(GPU_WORKS):
        batch = work.batches[0]
        plan = convsmith.plan(recipe(work, batch), data=noise(work, batch), device="cuda")
        cells = [f"{plan.memory.training / 2**20:,.0f} MiB"]
        for kind in ("deterministic", "fastest"):
            real = apart(kind, number, batch)
            share = real["bytes"] / plan.memory.training - 1
            cells.append(f"{real['bytes'] / 2**20:,.0f} MiB ({share:+.0%})")
        cells += [f"{1e3 * real['seconds']:.1f}", f"{1e3 * plan.step_seconds:.1f}"]
        print(f"| {work.model} | {work.precision} | {batch} | {' | '.join(cells)} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--limited", action="store_true")
    parser.add_argument("--formulas", action="store_true")
    parser.add_argument("--gpu", action="store_true")
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    parser.add_argument("--work", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--batch", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--large", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        import torch  # noqa: F401  # before anything is counted

        print(json.dumps(PARTS[options.part](options.work, options.batch)))
    elif options.large:
        print(json.dumps(large(options.large)))
    elif options.limited:
        limited()
    elif options.formulas:
        formulas()
    elif options.gpu:
        on_gpu()
    else:
        compare(options)


if __name__ == "__main__":
    main()
