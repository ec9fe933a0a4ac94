"""How fast this processor is: a few seconds of measuring, kept for the next time."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, geometric_mean, median

import torch
from torch.nn import functional

from convsmith.cache import cache_folder, read_cache, write_cache
from convsmith.planning.machine import Machine

__all__ = ["Rates", "measure_rates", "read_machine", "write_machine"]

Rates = dict[str, tuple[tuple[int, float], ...]]
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Shape:
    """A convolution that is measured, on square images of ``side`` pixels."""

    inner: int
    outer: int
    kernel: int
    side: int
    images: int
    stride: int = 1
    groups: int = 1

    @property
    def width(self) -> int:
        """Return the width by which its rate is known; see :func:`convsmith.planning.tape`."""
        one_sided = self.inner < 8 or self.groups == self.inner
        return self.outer if one_sided else min(self.inner, self.outer) // self.groups


SHAPES = {  # kind: at each width that is measured
    "stem": (Shape(3, 64, 3, 32, 32),),
    "conv": (
        Shape(16, 16, 3, 32, 32),
        Shape(64, 64, 3, 32, 16),
        Shape(128, 128, 3, 16, 32),
        Shape(256, 256, 3, 8, 32),
    ),
    "pointwise": (
        Shape(24, 24, 1, 32, 32),
        Shape(64, 64, 1, 32, 32),
        Shape(256, 256, 1, 8, 128),
    ),
    "grouped": (Shape(64, 64, 3, 16, 32, groups=8), Shape(128, 128, 3, 16, 32, groups=4)),
    "depthwise": (Shape(64, 64, 3, 32, 32, groups=64), Shape(256, 256, 3, 8, 128, groups=256)),
    "depthwise_strided": (Shape(64, 64, 3, 16, 32, 2, 64), Shape(256, 256, 3, 8, 32, 2, 256)),
    "depthwise_large": (Shape(40, 40, 7, 16, 32, 1, 40), Shape(160, 160, 7, 8, 32, 1, 160)),
}
TINY, LARGE = (1, 8, 4, 4), (32, 64, 32, 32)  # images for what is bound by memory
LEAST = Shape(16, 16, 3, 4, 1)  # what a convolution takes before it does anything
MANY = Shape(512, 512, 3, 2, 4)  # nearly all of it is for its filters
REPEATS = 9


def measure_rates(
    precisions: tuple[str, ...],
) -> tuple[Rates, dict[str, float], dict[str, float], dict[str, float]]:
    """Return rates, streams, starts and ordering, as a ``Machine`` has them.

    Convolutions have channels_last images, as training does.
    """
    rates: dict[str, list[tuple[int, float]]] = {}
    streams, starts = traffic()
    _, starts["conv"], starts["conv_backward"] = convolution(LEAST, torch.float32)
    ordering = {}
    for precision in precisions:
        dtype = DTYPES[precision]
        for kind, shapes in SHAPES.items():
            for shape in shapes:
                flops, ahead, back = convolution(shape, dtype)
                rates.setdefault(f"{kind}/{precision}", []).append((shape.width, flops / ahead))
                back_rate = shape.width, 2 * flops / back
                rates.setdefault(f"{kind}_backward/{precision}", []).append(back_rate)
        rates[f"matrix/{precision}"] = [(64, matrix(64, dtype)), (512, matrix(512, dtype))]
        flops, *taken = convolution(MANY, dtype)
        for way, each, passes in zip(("conv", "conv_backward"), taken, (1, 2), strict=True):
            known = starts[way] + passes * flops / rates[f"{way}/{precision}"][-1][1]
            filters = MANY.inner * MANY.outer * MANY.kernel**2
            ordering[f"{way}/{precision}"] = filters / max(each - known, 1e-9)
    points = {key: tuple(sorted(each)) for key, each in rates.items()}
    return points, streams, starts, ordering


def convolution(shape: Shape, dtype: torch.dtype) -> tuple[int, float, float]:
    """Return the FLOPs of a convolution, and its seconds forward, and backward to both sides."""
    layout, side = torch.channels_last, shape.side
    x = torch.randn(shape.images, shape.inner, side, side).to(dtype)
    x = x.contiguous(memory_format=layout)
    w = torch.randn(shape.outer, shape.inner // shape.groups, shape.kernel, shape.kernel).to(dtype)
    w = w.contiguous(memory_format=layout)
    pad, stride, groups = shape.kernel // 2, shape.stride, shape.groups

    def ahead() -> torch.Tensor:
        return functional.conv2d(x, w, stride=stride, padding=pad, groups=groups)

    y = ahead()

    def back() -> object:
        places = ([stride] * 2, [pad] * 2, [1, 1], False, [0, 0], groups, [True, True, False])
        return torch.ops.aten.convolution_backward(y, x, w, None, *places)

    return 2 * y.numel() * w[0].numel(), seconds(ahead), seconds(back)


def matrix(width: int, dtype: torch.dtype) -> float:
    """Return the FLOP/s of a matrix product."""
    a, b = torch.randn(512, width).to(dtype), torch.randn(width, 512).to(dtype)
    return 2 * 512 * 512 * width / seconds(lambda: a @ b)


def traffic() -> tuple[dict[str, float], dict[str, float]]:
    """Return the bytes a second of what is bound by memory, by kind, and the seconds before.

    The time for a tiny image is all start; what a large batch takes longer is its traffic.
    """
    tiny, large = works(TINY), works(LARGE)
    found: dict[str, list[tuple[float, float]]] = {}
    for (kind, few, short), (_, many, long) in zip(tiny, large, strict=True):
        low, high = seconds(short), seconds(long)
        found.setdefault(kind, []).append(((many - few) / max(high - low, 1e-9), low))
    streams = {kind: geometric_mean(rate for rate, _ in each) for kind, each in found.items()}
    return streams, {kind: fmean(start for _, start in each) for kind, each in found.items()}


def works(shape: tuple[int, int, int, int]) -> list[tuple[str, int, Callable[[], object]]]:
    """Return usual operations with their kinds and the bytes that they move."""
    x = torch.randn(shape).contiguous(memory_format=torch.channels_last)
    mean, ones = torch.zeros(shape[1]), torch.ones(shape[1])
    size, aten = x.nbytes, torch.ops.aten

    def norm_backward() -> object:
        wanted = [True, True, True]
        return aten.native_batch_norm_backward(
            x, x, ones, mean, ones, mean, ones, True, 1e-5, wanted
        )

    return [
        ("memory", 2 * size, lambda: torch.relu(x)),
        ("memory", 3 * size, lambda: x + x),
        ("memory", 3 * size, lambda: aten.threshold_backward(x, x, 0)),
        ("norm", 2 * size, lambda: functional.batch_norm(x, mean, ones, ones, mean, True)),
        ("norm_backward", 3 * size, norm_backward),
    ]


def seconds(work: Callable[[], object]) -> float:
    """Return the median time of a piece of work, made several times."""
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
        _ = stored["ordering"]  # what was measured before that was known is measured again
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
