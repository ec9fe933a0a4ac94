"""What each lever of the engine gains: training with all of them against training without one.

    python benchmarks/levers.py --work compact --data-root DIR --rounds 5 --steps 200

Every measurement is a process of its own; in each round all variants take their turn, so a busy
machine slows them alike. Gains are ratios within a round. Also prints the limit: the convolutions
and matrix products of the network alone, forward and backward, on the same shapes. `--tried` adds
what convsmith does not do because it gave nothing: the network compiled, huge pages, threads bound
to cores, the batch in halves. `--phases` prints what a step is made of instead.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

WORKS = Path(__file__).parent / "works"
ALL, LIMIT = "all levers", "limit"


def give_memory_back() -> None:
    from convsmith.training import memory

    memory.keep_freed_memory = lambda keep=True: False


def plain_optimizers() -> None:
    import torch

    for kind in (torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW):
        kind.__init__ = without_fused(kind.__init__)


def without_fused(init: Callable) -> Callable:
    def plain(self, *given, fused: bool, **named) -> None:
        init(self, *given, fused=False, **named)

    return plain


def pytorch_dropout() -> None:
    from torch.nn import functional

    from convsmith.nn.dropout import Dropout

    Dropout.forward = lambda self, x: functional.dropout(x, self.p, self.training)


def relu_before_pooling() -> None:
    from torch import nn

    from convsmith.models import MODELS

    def swapped(make: Callable) -> Callable:
        def build(*given, **named):
            model = make(*given, **named)
            for stage in model.modules():
                kinds = [type(each) for each in stage.children()]
                if isinstance(stage, nn.Sequential) and kinds[-2:] == [nn.MaxPool2d, nn.ReLU]:
                    stage[-2], stage[-1] = stage[-1], stage[-2]
            return model

        return build

    for name in ("compact_cnn", "mnist_cnn"):
        MODELS[name] = swapped(MODELS[name])


def seed_every_device() -> None:
    import torch

    from convsmith.training import fit

    fit.seed_dropout = lambda device, seed, step, index: torch.manual_seed(seed + step)


def scattered_images() -> None:
    """Crop, flip and normalise one after another, in planes of one colour."""
    import torch
    from torch.nn import functional

    from convsmith.data import geometry
    from convsmith.data.normalise import Normalise

    def crop(pixels, padding, top, left, flip):
        count, channels, height, width = pixels.shape
        padded = functional.pad(pixels.contiguous(), [padding] * 4)
        rows = top[:, None] + torch.arange(height)
        columns = left[:, None] + torch.arange(width)
        places = (rows[:, :, None] * padded.shape[3] + columns[:, None, :]).view(count, 1, -1)
        chosen = padded.flatten(2).gather(2, places.expand(count, channels, -1))
        chosen = chosen.view(count, channels, height, width)
        return torch.where(flip[:, None, None, None], chosen.flip(3), chosen)

    def normalise(self, pixels, memory_format=torch.contiguous_format):
        mean = torch.tensor(self.mean) * self.scale
        factor = 1 / (torch.tensor(self.std) * self.scale)
        result = pixels.contiguous().to(torch.float32, memory_format=memory_format)
        return result.sub_(mean[:, None, None]).mul_(factor[:, None, None])

    geometry.crop, Normalise.__call__ = crop, normalise


# name -> what a training without the lever changes: settings of the recipe, or the code
SETTINGS = {
    "bf16": {"train.precision": "fp32"},
    "channels_last": {"train.memory_format": "contiguous"},
}
PATIENT = "threads that wait let go"
UNDO: dict[str, Callable[[], None]] = {
    "freed memory is kept": give_memory_back,
    "fused optimizer step": plain_optimizers,
    "batches in one gather": scattered_images,
    "dropout's mask from bits": pytorch_dropout,
    "pooling before ReLU": relu_before_pooling,
    "seeding one generator": seed_every_device,
    PATIENT: lambda: None,  # a variable of the environment
}


def compiled() -> None:
    """Compile every network that is built; the steps of the warm-up are those that compile.

    With PyTorch's dropout: the mask from bits views numbers of one width as another's, which torch
    2.14's compiler gets wrong.
    """
    from convsmith.recipe import build

    pytorch_dropout()
    make = build.build_job

    def build_compiled(*given, **named):
        job = make(*given, **named)
        job.model.compile()
        return job

    build.build_job = build_compiled


# name -> settings of the recipe, variables of the process's environment, or the code
TRIED_SETTINGS = {"batch in halves": {"train.accumulate": 2}}
TRIED_VARIABLES = {
    "huge pages": {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"},
    "threads bound to cores": {"OMP_PROC_BIND": "true", "OMP_PLACES": "cores"},
}
TRIED: dict[str, Callable[[], None]] = {"network compiled": compiled}
ALL_TRIED = [*TRIED_SETTINGS, *TRIED_VARIABLES, *TRIED]
OF_WORK = {
    "resnet18": [*SETTINGS, *list(UNDO)[:3]],
    "compact": [*SETTINGS, *UNDO],
    "mnist": [*SETTINGS, *(name for name in UNDO if "gather" not in name)],
}


def training(options: argparse.Namespace, without: str):
    """Return the job of a work and its state, without a lever."""
    from convsmith.data import find_root
    from convsmith.recipe import build
    from convsmith.recipe.load import load_recipe
    from convsmith.training import memory
    from convsmith.training.device import resolve_device

    (UNDO | TRIED).get(without, lambda: None)()
    memory.keep_freed_memory()
    settings = {"train.precision": "bf16", "train.memory_format": "channels_last"}
    settings |= (SETTINGS | TRIED_SETTINGS).get(without, {}) | {
        "train.max_steps": options.steps,
        "train.epochs": 9,
    }
    sets = [f"{name}={value}" for name, value in settings.items()]
    recipe = load_recipe(WORKS / f"{options.work}.yaml", flags={}, sets=sets, keywords={}).recipe
    source = build.read_source(recipe, find_root(options.data_root), lambda text: None)
    parts, device = build.split(recipe, source), resolve_device("cpu")
    size = parts.train.image_size
    model = build.build_model(recipe, len(parts.classes), parts.train.channels, size)
    job = build.build_job(recipe, parts, source, device, model)
    return job, build.build_state(recipe, job)


def images_per_second(options: argparse.Namespace, without: str) -> float:
    """Train for some steps; the first ten are not counted."""
    job, state = training(options, without)
    from convsmith.training.clock import StepClock
    from convsmith.training.fit import Step, fit

    clock, images = StepClock(job.device), 0
    for event in fit(job, state, clock):
        images = event.images if isinstance(event, Step) else images
    return images / median(clock.seconds()[10:])


def limit(options: argparse.Namespace) -> float:
    """Return images per second if only convolutions and matrix products took time."""
    import torch
    from torch import nn

    job, _ = training(options, ALL)
    layers: list[tuple[nn.Module, torch.Tensor]] = []
    chosen = [each for each in job.model.modules() if isinstance(each, nn.Conv2d | nn.Linear)]
    hooks = [
        each.register_forward_pre_hook(lambda layer, given: layers.append((layer, given[0])))
        for each in chosen
    ]
    images, _ = next(job.batches.epoch(0))
    with job.precision.forward(), torch.no_grad():
        job.model(images)
    for hook in hooks:
        hook.remove()
    total = 0.0
    for number, (layer, given) in enumerate(layers):
        inputs = given.detach().bfloat16().requires_grad_(number > 0)
        weights = [p.detach().bfloat16().requires_grad_() for p in layer.parameters()]
        kept = dict(zip((name for name, _ in layer.named_parameters()), weights, strict=True))
        seconds = []
        for _ in range(8):
            started = time.perf_counter()
            out = torch.func.functional_call(layer, kept, (inputs,))
            middle = time.perf_counter()
            gradient = torch.ones_like(out)
            again = time.perf_counter()
            torch.autograd.grad(out, [*weights, *([inputs] if number else [])], gradient)
            seconds.append(time.perf_counter() - again + middle - started)
        total += median(seconds[2:])
    return len(images) / total


def phases(options: argparse.Namespace) -> None:
    """Print how long the parts of a step take, with all levers."""
    job, state = training(options, ALL)
    from convsmith.training import fit, precision

    parts: dict[str, list[float]] = {}

    def timed(owner: object, name: str, part: str) -> None:
        call = getattr(owner, name)

        def measured(*given, **named):
            started = time.perf_counter()
            try:
                return call(*given, **named)
            finally:
                parts.setdefault(part, []).append(time.perf_counter() - started)

        setattr(owner, name, measured)

    timed(job.model, "forward", "forward")
    timed(type(job.precision), "backward", "backward")
    timed(precision, "gradient_norm", "looking for NaN")
    timed(job.optimizer, "step", "optimizer")
    timed(fit, "train_step", "whole step without loading")
    whole, last = [], time.perf_counter()
    for _ in fit.fit(job, state):
        whole.append(time.perf_counter() - last)
        last = time.perf_counter()
    print(f"| {options.work}, part of a step | ms, median |\n|---|---|")
    for part, seconds in (parts | {"whole step": whole}).items():
        print(f"| {part} | {1e3 * median(seconds[10:]):.2f} |")


def measure(options: argparse.Namespace, variant: str) -> float:
    """Measure one variant in a process of its own."""
    command = [sys.executable, __file__, *sys.argv[1:], "--variant", variant]
    patience = {} if variant == PATIENT else {"GOMP_SPINCOUNT": "3000"}  # as the command line asks
    variables = os.environ | patience | TRIED_VARIABLES.get(variant, {})
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=variables)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", choices=OF_WORK, required=True)
    parser.add_argument("--data-root", required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--levers", nargs="*", choices=[*SETTINGS, *UNDO], help="only these")
    parser.add_argument("--tried", action="store_true", help="also what gave nothing")
    parser.add_argument("--phases", action="store_true", help="only what a step is made of")
    parser.add_argument("--variant", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.phases:
        phases(options)
        return
    if options.variant is not None:
        chosen = options.variant
        print(limit(options) if chosen == LIMIT else images_per_second(options, chosen))
        return
    levers = OF_WORK[options.work] if options.levers is None else options.levers
    variants = [ALL, LIMIT, *levers, *(ALL_TRIED if options.tried else [])]
    found: dict[str, list[float]] = {name: [] for name in variants}
    for number in range(options.rounds):
        for name in variants:
            found[name].append(measure(options, name))
            print(f"round {number + 1}: {name}: {found[name][-1]:.0f}", file=sys.stderr)
    print(f"| {options.work} | images/s | all levers against this |\n|---|---|---|")
    for name in variants:
        ratios = [a / b for a, b in zip(found[ALL], found[name], strict=True)]
        spread = f"{median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})"
        kind = "tried: " if name in ALL_TRIED else "" if name in (ALL, LIMIT) else "without: "
        print(f"| {kind}{name} | {median(found[name]):,.0f} | {spread} |")


if __name__ == "__main__":
    main()
