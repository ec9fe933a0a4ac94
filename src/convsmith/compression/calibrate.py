"""The ranges and means of activations, from real images: what static quantisation must know."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy

from convsmith.compression.ends import absorbed
from convsmith.compression.layers import (
    LEVELS,
    OUTPUT,
    Array,
    activations,
    copied,
    integer_nodes,
    layers_of,
    pooled_globally,
)
from convsmith.compression.quantize import Means, Ranges
from convsmith.compression.runtime import session
from convsmith.exporting.libraries import require

__all__ = ["Calibrated", "calibrated", "statistics"]


@dataclass(frozen=True)
class Calibrated:
    """A network ready to become integers: it takes the image's own values if it can.

    ``ranges`` are of all activations, ``means`` of what layers take, by channel. ``whole`` holds,
    if the image needs no normalising first, what the normalisation in the first layer subtracts.
    """

    proto: Any
    ranges: Ranges
    means: Means
    whole: Means


def calibrated(proto: Any, batches: Sequence[Array], threads: int) -> Calibrated:
    """Return what an ONNX network of uint8 images becomes before it is quantised.

    ``batches`` are images ``(N, C, H, W)`` uint8 of the training part.
    """
    made, whole = pooled_globally(proto), {}
    found = absorbed(made)
    if found is not None:
        made, whole = found[0], {LEVELS: found[1]}
    names = activations(made.graph, integer_nodes(made.graph)).values()
    taken = [layer.node.input[0] for layer in layers_of(made.graph)]
    ranges, means = statistics(made, {*names, *taken, OUTPUT}, batches, threads)
    if found is not None:
        ranges[LEVELS] = (0.0, 255.0)
    return Calibrated(made, ranges, {name: means[name] for name in taken}, whole)


def statistics(
    proto: Any, names: Collection[str], batches: Sequence[Array], threads: int
) -> tuple[dict[str, tuple[float, float]], dict[str, Array]]:
    """Return the lowest and highest value, and the mean by channel, of tensors over images."""
    wanted = sorted(names)
    opened = copied(proto)
    del opened.graph.output[:]
    opened.graph.output.extend(require("onnx").ValueInfoProto(name=name) for name in wanted)
    running = session(opened.SerializeToString(), threads)
    ranges: dict[str, tuple[float, float]] = {}
    means: dict[str, Array] = {}
    total = sum(map(len, batches))
    for batch in batches:
        for name, value in zip(wanted, running.run(wanted, {"input": batch}), strict=True):
            low, high = float(value.min()), float(value.max())
            before = ranges.get(name, (low, high))
            ranges[name] = (min(low, before[0]), max(high, before[1]))
            others = tuple(each for each in range(value.ndim) if each != 1)
            share = value.mean(others, dtype=numpy.float64) * len(batch) / total
            means[name] = means[name] + share if name in means else share
    return ranges, means
