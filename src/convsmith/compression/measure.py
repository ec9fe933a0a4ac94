"""What a variant of a network costs and gains: accuracy, agreement, latency and throughput."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

import numpy
import torch
from torch import nn

from convsmith.compression.ends import real_logits
from convsmith.compression.layers import Array
from convsmith.compression.runtime import session
from convsmith.exporting.graph import Deployed, Input

__all__ = [
    "Accuracy",
    "Judged",
    "Runner",
    "judge",
    "logits_of",
    "onnx_runner",
    "paired_interval",
    "time_all",
    "torch_runner",
]

Runner = Callable[[Array], Array]
"""Images ``(N, C, H, W)`` uint8 to logits ``(N, classes)`` float32."""

RESAMPLES = 10_000


@dataclass(frozen=True)
class Accuracy:
    """Of one variant on one part of the data: fractions of ``images``.

    ``agreement`` is how often its likeliest class is the original's. ``drop`` is by how much its
    top-1 is below the original's, and ``interval`` holds that drop in 95 of 100 samples of images,
    each with both networks' answers.
    """

    top1: float
    top5: float
    agreement: float
    drop: float
    interval: tuple[float, float]
    images: int


@dataclass(frozen=True)
class Judged:
    """What a network says of each image: its likeliest class, and whether that is right."""

    guesses: Array
    right: Array
    in_five: Array

    @classmethod
    def of(cls, logits: Array, labels: Array) -> "Judged":
        """Judge logits; one that is not a number puts its image last."""
        own = logits[numpy.arange(len(labels)), labels][:, None]
        before = numpy.arange(logits.shape[1]) < labels[:, None]
        ranks = ((logits > own) | ((logits == own) & before)).sum(1)
        ranks[~numpy.isfinite(logits).all(1)] = logits.shape[1] + 5
        return cls(logits.argmax(1), ranks == 0, ranks < 5)


def judge(judged: Judged, original: Judged) -> Accuracy:
    """Compare what a variant says of images with what the original says of the same ones."""
    drop = float(original.right.mean() - judged.right.mean())
    return Accuracy(
        top1=float(judged.right.mean()),
        top5=float(judged.in_five.mean()),
        agreement=float((judged.guesses == original.guesses).mean()),
        drop=drop,
        interval=paired_interval(original.right, judged.right),
        images=len(judged.right),
    )


def paired_interval(first: Array, second: Array) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of the difference of two means over the same images.

    Drawing images with replacement is drawing how many are right for the first alone, the second
    alone, and both or neither. Source: Efron & Tibshirani, "An Introduction to the Bootstrap",
    1993.
    """
    first, second = first.astype(bool), second.astype(bool)
    count = len(first)
    shares = numpy.array([(first & ~second).mean(), (second & ~first).mean()])
    draws = numpy.random.default_rng(0).multinomial(
        count, [*shares, max(0.0, 1 - shares.sum())], RESAMPLES
    )
    low, high = numpy.quantile((draws[:, 0] - draws[:, 1]) / count, [0.025, 0.975])
    return float(low), float(high)


def logits_of(runner: Runner, batches: Iterable[Array]) -> Array:
    """Return the logits of all images of some batches."""
    return numpy.concatenate([runner(batch) for batch in batches])


def onnx_runner(model: bytes, threads: int) -> Runner:
    """Return what runs an ONNX file of uint8 images in ONNX Runtime."""
    running = session(model, threads)
    texts = running.get_modelmeta().custom_metadata_map

    def run(images: Array) -> Array:
        (output,) = running.run(["output"], {"input": images})
        return real_logits(output, texts)

    return run


def torch_runner(
    network: nn.Module,
    given: Input,
    dtype: torch.dtype = torch.float32,
    layout: torch.memory_format = torch.contiguous_format,
) -> Runner:
    """Return what runs a network in PyTorch; it is taken as it is, in evaluation mode."""
    ends = Deployed(nn.Identity(), given)

    def run(images: Array) -> Array:
        with torch.inference_mode():
            values = ends(torch.from_numpy(images)).to(dtype=dtype, memory_format=layout)
            output: Array = network(values).float().numpy()
        return output

    return run


def time_all(
    runners: Mapping[str, Runner],
    images: Array,
    batches: Sequence[int],
    *,
    rounds: int = 5,
    seconds: float = 0.1,
) -> dict[str, dict[int, float]]:
    """Return the median seconds of one call of each runner, by batch size.

    In each round all take their turn, for ``seconds`` each, so that a busy machine slows them
    alike. ``images`` are as many as the largest batch.
    """
    found: dict[str, dict[int, list[float]]] = {
        name: {batch: [] for batch in batches} for name in runners
    }
    for batch in batches:
        for run in runners.values():
            run(images[:batch])  # what is made ready at the first call is not counted
        for _ in range(rounds):
            for name, run in runners.items():
                until = time.perf_counter() + seconds
                while True:
                    started = time.perf_counter()
                    run(images[:batch])
                    ended = time.perf_counter()
                    found[name][batch].append(ended - started)
                    if ended >= until:
                        break
    return {
        name: {batch: median(times) for batch, times in each.items()}
        for name, each in found.items()
    }
