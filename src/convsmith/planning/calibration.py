"""How fast this processor is: a few seconds of measuring, kept for the next time."""

import time
from collections.abc import Callable
from pathlib import Path
from statistics import geometric_mean, median

import torch
from torch import nn
from torch.nn import functional

from convsmith.cache import cache_folder, read_cache, write_cache
from convsmith.planning.machine import Machine
from convsmith.planning.trace import trace

__all__ = ["Rates", "measure_rates", "read_machine", "write_machine"]

Rates = dict[str, tuple[tuple[int, float], ...]]
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
# kind: (in channels, out channels, kernel, side, images, depthwise) at each width that is measured
SHAPES = {
    "stem": ((3, 64, 3, 32, 32, False),),
    "conv": (
        (16, 16, 3, 32, 32, False),
        (64, 64, 3, 32, 16, False),
        (128, 128, 3, 16, 32, False),
        (256, 256, 3, 8, 32, False),
    ),
    "pointwise": ((64, 64, 1, 32, 32, False), (256, 256, 1, 8, 128, False)),
    "depthwise": ((64, 64, 3, 32, 32, True), (256, 256, 3, 8, 128, True)),
}
REPEATS = 5


def measure_rates(precisions: tuple[str, ...]) -> tuple[Rates, float, float]:
    """Return FLOP/s by kind and precision, bytes a second, and seconds an operation.

    Convolutions have channels_last images, as training does.
    """
    rates: dict[str, list[tuple[int, float]]] = {}
    for precision in precisions:
        dtype = DTYPES[precision]
        for kind, shapes in SHAPES.items():
            for shape in shapes:
                width = shape[1] if kind in ("stem", "depthwise") else min(shape[0], shape[1])
                ahead, back = convolution(shape, dtype)
                rates.setdefault(f"{kind}/{precision}", []).append((width, ahead))
                rates.setdefault(f"{kind}_backward/{precision}", []).append((width, back))
        rates[f"matrix/{precision}"] = [(64, matrix(64, dtype)), (512, matrix(512, dtype))]
    return {key: tuple(sorted(points)) for key, points in rates.items()}, bandwidth(), overhead()


def convolution(
    shape: tuple[int, int, int, int, int, bool], dtype: torch.dtype
) -> tuple[float, float]:
    """Return the FLOP/s of a convolution forward, and backward to both filters and images."""
    inner, outer, kernel, side, images, depthwise = shape
    groups = inner if depthwise else 1
    layout = torch.channels_last
    x = torch.randn(images, inner, side, side).to(dtype).contiguous(memory_format=layout)
    w = torch.randn(outer, inner // groups, kernel, kernel).to(dtype)
    w = w.contiguous(memory_format=layout)
    pad = kernel // 2
    y = functional.conv2d(x, w, padding=pad, groups=groups)
    flops = 2 * y.numel() * w[0].numel()

    def back() -> object:
        return torch.ops.aten.convolution_backward(
            y, x, w, None, [1, 1], [pad, pad], [1, 1], False, [0, 0], groups, [True, True, False]
        )

    ahead = seconds(lambda: functional.conv2d(x, w, padding=pad, groups=groups))
    return flops / ahead, 2 * flops / seconds(back)


def matrix(width: int, dtype: torch.dtype) -> float:
    """Return the FLOP/s of a matrix product."""
    a, b = torch.randn(512, width).to(dtype), torch.randn(width, 512).to(dtype)
    return 2 * 512 * 512 * width / seconds(lambda: a @ b)


def bandwidth() -> float:
    """Return the bytes a second of what is bound by memory: a mean over usual operations."""
    x = torch.randn(32, 64, 32, 32).contiguous(memory_format=torch.channels_last)
    mean, ones = torch.zeros(64), torch.ones(64)
    works: tuple[tuple[int, Callable[[], object]], ...] = (
        (2, lambda: torch.relu(x)),
        (3, lambda: x + x),
        (2, lambda: functional.batch_norm(x, mean, ones, ones, mean, training=True)),
        (2, lambda: functional.max_pool2d(x, 2)),
    )
    return geometric_mean(passes * x.nbytes / seconds(work) for passes, work in works)


def overhead() -> float:
    """Return the seconds that an operation of a training step takes however small it is."""
    net = nn.Sequential(*(nn.Linear(4, 4) for _ in range(40)))
    x = torch.randn(2, 4)

    def step() -> None:
        net(x).sum().backward()

    counted = trace(
        nn.Sequential(net, nn.Flatten()), lambda m: torch.optim.SGD(m.parameters()), (1, 1, 4), 2
    )
    operations = sum(each.phase in ("forward", "backward") for each in counted.step)
    return seconds(step) / operations


def seconds(work: Callable[[], object]) -> float:
    """Return the median time of a piece of work, made at least five times."""
    work()
    times = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return median(times)


def read_machine(key: str) -> Machine | None:
    """Return what was measured before of the machine called ``key``; None if nothing was."""
    try:
        stored = read_cache(cache_file())[key]
        rates = {name: tuple(map(tuple, points)) for name, points in stored.pop("rates").items()}
        return Machine(**stored, rates=rates)
    except (KeyError, TypeError, AttributeError):
        return None


def write_machine(key: str, machine: Machine) -> None:
    """Keep what was measured."""
    write_cache(cache_file(), read_cache(cache_file()) | {key: vars(machine)})


def cache_file() -> Path:
    """Return where measurements are kept."""
    return cache_folder() / "machines.json"
