"""Does `convsmith diagnose` find what is planted, and nothing in trainings that are healthy?

    python benchmarks/diagnose.py planted
    python benchmarks/diagnose.py healthy --seeds 3 --data-root DATA
    python benchmarks/diagnose.py cost digits mnist --seeds 3 --work /tmp/cost --data-root DATA

`planted` trains on digits with one of sixteen faults, each at three strengths, in two networks that
were not used to set the thresholds: narrow `vgg_bn` and `resnet_small`. It prints what was found by
what was planted. `healthy` trains five presets whole and prints whatever is found. `cost` trains
presets with and without `train.watch`, in turns, and compares processor seconds. All print Markdown
for docs/results.md.
"""

import argparse
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

import convsmith
from convsmith.data import find_root, load_source
from convsmith.data.images import Images, Source
from convsmith.insight.findings import RULES
from convsmith.models import MODELS

HEALTHY = ("digits", "moons", "mnist", "mnist-improved", "cifar10-compact")
NETWORKS = {
    "vgg_bn": {"widths": (16, 32, 64), "hidden": 64, "dropout": 0.0},
    "resnet_small": {"widths": (16, 32, 32, 64)},
}
EPOCHS = 12


@dataclass
class Case:
    """What is trained: a fault changes any of it."""

    net: nn.Sequential
    data: Source  # with a validation part of its own
    sets: list[str]


def healthy_case(network: str, seed: int) -> Case:
    """Return a training of digits with nothing wrong."""
    source = load_source("digits", find_root(None))
    order = torch.randperm(len(source.train), generator=torch.Generator().manual_seed(seed))
    data = replace(
        source, train=source.train.select(order[400:]), validation=source.train.select(order[:400])
    )
    torch.manual_seed(seed)
    net = MODELS[network](10, 1, (8, 8), **NETWORKS[network])
    base = [f"train.epochs={EPOCHS}", "data.augment=none", "train.precision=fp32"]
    return Case(net, data, [*base, "train.memory_format=contiguous", f"seed={seed}"])


class Times(nn.Module):
    """Multiplies by a number."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        return x * self.factor


class Breaks(nn.Module):
    """Is the identity until a training pass from which on it divides by zero."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self.left = after

    def forward(self, x: Tensor) -> Tensor:
        self.left -= self.training
        return x / 0 if self.left < 0 else x * 1


class Jolts(nn.Module):
    """Is linear, and in one training pass kicks its own weights, as too large a step does."""

    def __init__(self, linear: nn.Linear, after: int, size: float) -> None:
        super().__init__()
        self.linear, self.left, self.size = linear, after, size

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.left -= 1
            if self.left == 0:
                with torch.no_grad():
                    weight = self.linear.weight
                    noise = torch.randn(weight.shape, generator=torch.Generator().manual_seed(0))
                    weight += self.size * weight.std() * noise
        return self.linear(x)


def insert(case: Case, *layers: nn.Module, after: str = "stage2") -> None:
    """Put layers behind a stage."""
    net = case.net
    setattr(net, after, nn.Sequential(net.get_submodule(after), *layers))


def nonfinite(case: Case, strength: int) -> None:
    insert(case, Breaks((100, 40, 5)[strength]))


def exploding(case: Case, strength: int) -> None:
    case.net.head = nn.Sequential(case.net.head, Times((1e3, 1e4, 1e5)[strength]))


def vanishing(case: Case, strength: int) -> None:
    for module in list(case.net.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.modules.batchnorm._BatchNorm):
                setattr(module, name, nn.Identity())
    insert(case, *(nn.Sigmoid() for _ in range((9, 12, 16)[strength])))


def rate_high(case: Case, strength: int) -> None:
    case.sets.append(f"optimizer.learning_rate={(1, 3, 10)[strength]}")


def rate_low(case: Case, strength: int) -> None:
    case.sets.append(f"optimizer.learning_rate={(1e-6, 1e-7, 1e-8)[strength]}")


def dead_relu(case: Case, strength: int) -> None:
    for module in case.net.stage2.modules():
        if isinstance(module, nn.BatchNorm2d):
            count = round(module.num_features * (0.6, 0.75, 0.9)[strength])
            with torch.no_grad():
                module.bias[:count] = -10


def saturated(case: Case, strength: int) -> None:
    width = 32
    insert(case, nn.BatchNorm2d(width), Times((10, 30, 100)[strength]), nn.Sigmoid())


def batch_norm(case: Case, strength: int) -> None:
    for module in case.net.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.momentum = (1e-3, 1e-4, 1e-5)[strength]


def spike(case: Case, strength: int) -> None:
    case.net.head = Jolts(case.net.head, after=120, size=(5, 10, 30)[strength])


def overfit(case: Case, strength: int) -> None:
    few = slice((100, 60, 30)[strength])
    case.data = replace(
        case.data, train=case.data.train.select(torch.arange(len(case.data.train))[few])
    )
    case.sets += ["train.epochs=120", "train.batch_size=25", "optimizer.weight_decay=0"]


def underfit(case: Case, strength: int) -> None:
    case.net.head = nn.Sequential(nn.Dropout((0.9, 0.95, 0.98)[strength]), case.net.head)
    case.sets += ["train.epochs=4"]


def label_noise(case: Case, strength: int) -> None:
    case.data = replace(
        case.data,
        train=noisy(case.data.train, (0.1, 0.2, 0.4)[strength]),
        validation=noisy(case.data.validation, (0.1, 0.2, 0.4)[strength]),
    )


def noisy(images: Images, share: float) -> Images:
    """Return the images, a share of them with a label drawn among the nine others."""
    draw = torch.Generator().manual_seed(len(images))
    wrong = torch.rand(len(images), generator=draw) < share
    shift = torch.randint(1, 10, (len(images),), generator=draw)
    return replace(images, labels=torch.where(wrong, (images.labels + shift) % 10, images.labels))


def imbalance(case: Case, strength: int) -> None:
    train = case.data.train
    rare = (train.labels == 3).nonzero().flatten()
    kept = rare[: len(rare) // (4, 10, 30)[strength]]
    others = (train.labels != 3).nonzero().flatten()
    case.data = replace(case.data, train=train.select(torch.cat([others, kept]).sort().values))


def leakage(case: Case, strength: int) -> None:
    train, held_out = case.data.train, case.data.validation
    count = round(len(held_out) * (0.05, 0.2, 0.5)[strength])
    pixels, labels = held_out.take(slice(None))
    copies, same = train.take(torch.arange(count))
    draw = torch.Generator().manual_seed(0)
    changed = copies.float() * 0.9 + 10 + 3 * torch.randn(copies.shape, generator=draw)
    pixels = torch.cat([changed.round().clamp(0, 255).to(torch.uint8), pixels[count:]])
    leaked = Images(pixels, torch.cat([same, labels[count:]]))
    case.data = replace(case.data, validation=leaked)


def small_validation(case: Case, strength: int) -> None:
    few = torch.arange((80, 40, 20)[strength])
    case.data = replace(case.data, validation=case.data.validation.select(few))
    case.sets.append("train.early_stopping={metric: top1}")


def input_scale(case: Case, strength: int) -> None:
    case.sets += ["data.mean=[0]", f"data.std=[{(0.05, 0.02, 1 / 255)[strength]:.4f}]"]


PLANTS: dict[str, Callable[[Case, int], None]] = {
    "nonfinite": nonfinite,
    "exploding": exploding,
    "vanishing": vanishing,
    "rate-high": rate_high,
    "rate-low": rate_low,
    "dead-relu": dead_relu,
    "saturated": saturated,
    "batch-norm": batch_norm,
    "spike": spike,
    "overfit": overfit,
    "underfit": underfit,
    "label-noise": label_noise,
    "imbalance": imbalance,
    "leakage": leakage,
    "small-validation": small_validation,
    "input-scale": input_scale,
}


def diagnosed(case: Case, *sets: str) -> tuple[str, ...]:
    """Return the rules that find something in a case."""
    found = convsmith.diagnose(
        "digits",
        model=case.net,
        data=case.data,
        sets=[*case.sets, *sets],
        watch=10**6,
        progress="none",
    )
    return tuple(dict.fromkeys(each.rule for each in found.findings))


def planted(names: list[str]) -> None:
    """Print what is found by what is planted."""
    counts: Counter[tuple[str, str]] = Counter()
    for name in ["nothing", *names]:
        for network in NETWORKS:
            for strength in range(3):
                case = healthy_case(network, seed=strength)
                if name != "nothing":
                    PLANTS[name](case, strength)
                rules = diagnosed(case)
                print(f"{name} {strength} {network}: {', '.join(rules) or 'nothing'}", flush=True)
                for rule in rules or ("nothing",):
                    counts[name, rule] += 1
    columns = [*RULES, "nothing"]
    print("\n| planted (6 each) \\ found | " + " | ".join(columns) + " |")
    print("|---" * (len(columns) + 1) + "|")
    for name in [*names, "nothing"]:
        cells = [str(counts[name, column] or "") for column in columns]
        print(f"| {name} | " + " | ".join(cells) + " |")


def healthy(presets: list[str], seeds: int, root: str | None) -> None:
    """Print what is found in whole trainings of presets."""
    for preset in presets:
        for seed in range(seeds):
            found = convsmith.diagnose(
                preset, seed=seed, watch=10**6, data_root=root, progress="lines"
            )
            told = [f"{each.severity} {each.rule}: {each.evidence}" for each in found.findings]
            print(f"| `{preset}` | {seed} | {'; '.join(told) or 'nothing found'} |", flush=True)


def cost(presets: list[str], rounds: int, work: Path, root: str | None, epochs: int) -> None:
    """Print what `train.watch` costs in processor time, which other programs hardly change."""
    for preset in presets:
        seconds: dict[str, list[float]] = {"false": [], "true": []}
        for _ in range(rounds):
            for wanted, taken in seconds.items():
                began = time.process_time()
                convsmith.train(
                    preset,
                    epochs=epochs,
                    sets=[f"train.watch={wanted}"],
                    runs=work,
                    data_root=root,
                    progress="none",
                )
                taken.append(time.process_time() - began)
        plain, watched = (min(each) for each in seconds.values())
        each = "; ".join(
            f"{name}: {', '.join(f'{s:.2f}' for s in all_)}" for name, all_ in seconds.items()
        )
        print(f"| `{preset}` | {watched / plain - 1:+.1%} | {each} |", flush=True)


def main() -> None:
    """Run one of the measurements."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", choices=["planted", "healthy", "cost"])
    parser.add_argument("names", nargs="*", help="faults or presets; by default all")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--data-root")
    parser.add_argument(
        "--epochs", type=int, default=5, help="of a training whose cost is measured"
    )
    parser.add_argument("--work", type=Path, help="for runs, outside the checkout")
    options = parser.parse_args()
    if options.part == "planted":
        planted(options.names or list(PLANTS))
    elif options.part == "cost":
        presets = options.names or ["digits"]
        cost(presets, options.seeds, options.work, options.data_root, options.epochs)
    else:
        healthy(options.names or list(HEALTHY), options.seeds, options.data_root)


if __name__ == "__main__":
    main()
