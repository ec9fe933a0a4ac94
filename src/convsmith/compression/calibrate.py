"""The ranges of activations, from real images: what static quantisation needs to know."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from convsmith.compression.ends import absorbed
from convsmith.compression.layers import (
    LEVELS,
    OUTPUT,
    Array,
    activations,
    copied,
    integer_nodes,
    pooled_globally,
)
from convsmith.compression.quantize import Ranges
from convsmith.compression.runtime import session
from convsmith.exporting.libraries import require

__all__ = ["Calibrated", "calibrated", "ranges_of"]


@dataclass(frozen=True)
class Calibrated:
    """A network ready to become integers: it takes the image's own values if it can.

    ``whole`` is whether it does; otherwise the image is normalised with real numbers first.
    """

    proto: Any
    ranges: Ranges
    whole: bool


def calibrated(proto: Any, batches: Iterable[Array], threads: int) -> Calibrated:
    """Return what an ONNX network of uint8 images becomes before it is quantised.

    ``batches`` are images ``(N, C, H, W)`` uint8 of the training part.
    """
    pooled = pooled_globally(proto)
    base = absorbed(pooled)
    made = pooled if base is None else base
    names = activations(made.graph, integer_nodes(made.graph)).values()
    ranges = ranges_of(made, [*names, OUTPUT], batches, threads)
    if base is not None:
        ranges[LEVELS] = (0.0, 255.0)
    return Calibrated(made, ranges, base is not None)


def ranges_of(
    proto: Any, names: Iterable[str], batches: Iterable[Array], threads: int
) -> dict[str, tuple[float, float]]:
    """Return the lowest and highest value that each tensor has over batches of images."""
    wanted = list(dict.fromkeys(names))
    opened = copied(proto)
    del opened.graph.output[:]
    opened.graph.output.extend(require("onnx").ValueInfoProto(name=name) for name in wanted)
    running = session(opened.SerializeToString(), threads)
    found: dict[str, tuple[float, float]] = {}
    for batch in batches:
        for name, value in zip(wanted, running.run(wanted, {"input": batch}), strict=True):
            low, high = float(value.min()), float(value.max())
            before = found.get(name, (low, high))
            found[name] = (min(low, before[0]), max(high, before[1]))
    return found
