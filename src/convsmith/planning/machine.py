"""How fast a device is and what it holds: measured for this one, published for others."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from convsmith.planning.devices import Device

__all__ = ["Machine", "published"]

# The share of a GPU's published peaks that training reaches. One published training calibrates it:
# `cifar100-resnet` on a T4 in mixed precision, 73 PFLOP of convolutions in 150 minutes. Without
# Tensor cores (fp32) convolutions come closer to the peak: 0.5 is usual.
REACHED = {"fp32": 0.5, "fp16": 0.15, "bf16": 0.15}
REACHED_BANDWIDTH = 0.75
DEPTHWISE = 0.05  # of a dense convolution's rate: every value is used for few multiply-adds
LAUNCH = 8e-6  # seconds that a GPU needs for an operation however small


@dataclass(frozen=True)
class Machine:
    """What a plan needs to know of a device.

    ``rates`` are FLOP/s by ``kind/precision`` at some widths, lowest first; ``bandwidth`` bytes a
    second; ``overhead`` seconds an operation. ``runtime`` are the bytes that a process takes
    besides its tensors, ``growth`` how many times a trace's heap it comes to hold; None where
    nothing freed is kept.
    """

    name: str
    memory: int | None
    precision: str
    bandwidth: float
    overhead: float
    rates: Mapping[str, tuple[tuple[int, float], ...]]
    runtime: float = 0.0
    growth: float | None = None
    basis: str = ""

    def rate(self, kind: str, precision: str, width: int) -> float:
        """Return the FLOP/s of a kind of operation, between those of the widths that are known."""
        points = self.rates.get(f"{kind}/{precision}") or self.rates[f"{kind}/fp32"]
        lower, upper = points[0], points[-1]
        for point in points:
            if point[0] <= width:
                lower = point
        for point in reversed(points):
            if point[0] >= width:
                upper = point
        if upper[0] <= lower[0]:
            return lower[1] if width >= lower[0] else upper[1]
        share = math.log(max(width, lower[0]) / lower[0]) / math.log(upper[0] / lower[0])
        return float(lower[1] ** (1 - share) * upper[1] ** share)


def published(device: Device) -> Machine:
    """Return a machine of a device's published figures, times what training reaches of them."""
    dense = ("conv", "conv_backward", "pointwise", "pointwise_backward", "matrix")
    kinds = (*dense, "stem", "stem_backward", "depthwise", "depthwise_backward")
    rates = {}
    for precision, peak in device.flops.items():
        for kind in kinds:
            share = DEPTHWISE if kind.startswith("depthwise") else 1.0
            rates[f"{kind}/{precision}"] = ((1, peak * REACHED[precision] * share),)
    best = device.fastest
    return Machine(
        name=device.name,
        memory=device.memory,
        precision=best,
        bandwidth=device.bandwidth * REACHED_BANDWIDTH,
        overhead=LAUNCH,
        rates=rates,
        basis=f"published peaks, of which training reaches {REACHED['fp32']:.0%} in fp32 and "
        f"{REACHED['fp16']:.0%} on Tensor cores, and {REACHED_BANDWIDTH:.0%} of the bandwidth; "
        "cuDNN's workspace comes on top",
    )
