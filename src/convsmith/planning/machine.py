"""How fast a device is and what it holds: measured for this one, published for others."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from convsmith.planning.devices import Device

__all__ = ["Machine", "published"]

# The share of a GPU's published peaks that training reaches. One published training calibrates it:
# `cifar100-resnet` on a T4 in mixed precision, 73 PFLOP of convolutions in 150 minutes. Without
# Tensor cores (fp32) convolutions come closer to the peak: 0.5 is usual.
REACHED = {"fp32": 0.5, "fp16": 0.15, "bf16": 0.15}
REACHED_BANDWIDTH = 0.75
# Of a dense convolution's rate: where groups are small, every value is used for few multiply-adds.
SHARES = {
    **dict.fromkeys(("conv", "pointwise", "stem", "matrix"), 1.0),
    "grouped": 0.3,
    **dict.fromkeys(("depthwise", "depthwise_strided", "depthwise_large"), 0.05),
}
CONVOLUTIONS = SHARES.keys() - {"matrix"}
LAUNCH = 8e-6  # seconds that a GPU needs for an operation however small


@dataclass(frozen=True)
class Machine:
    """What a plan needs to know of a device.

    ``rates`` are FLOP/s by ``kind/precision`` at some widths, lowest first; ``streams`` bytes a
    second by kind, ``starts`` the seconds before an operation of a kind does anything: what is not
    named there is as ``memory``, and all convolutions start as ``conv``. Streams and starts take
    ``slowness`` times as long, by precision. ``ordering`` are the values of filters a second that
    convolutions bring into the order in which they use them, by ``conv/precision`` and
    ``conv_backward/precision``. ``runtime`` are the bytes that a process takes besides its tensors,
    ``growth`` how many times a trace's heap it comes to hold; None where nothing freed is kept.
    What is not known for a precision is as for fp32.
    """

    name: str
    memory: int | None
    precision: str
    rates: Mapping[str, tuple[tuple[int, float], ...]]
    streams: Mapping[str, float]
    starts: Mapping[str, float]
    slowness: Mapping[str, float] = field(default_factory=dict)
    ordering: Mapping[str, float] = field(default_factory=dict)
    runtime: float = 0.0
    growth: float | None = None
    basis: str = ""

    def trains_in(self, precision: str) -> bool:
        """Return whether the speed of a precision is known; those that are emulated have none."""
        return f"conv/{precision}" in self.rates

    def start(self, kind: str) -> float:
        """Return the seconds before an operation of a kind does anything."""
        if kind.removesuffix("_backward") in CONVOLUTIONS:
            kind = "conv_backward" if kind.endswith("_backward") else "conv"
        return self.starts.get(kind, self.starts["memory"])

    def filters(self, kind: str, precision: str) -> float:
        """Return the values of filters a second that are brought into order."""
        way = "conv_backward" if kind.endswith("_backward") else "conv"
        plain = self.ordering.get(f"{way}/fp32", math.inf)
        return self.ordering.get(f"{way}/{precision}", plain)

    def slow(self, precision: str) -> float:
        """Return how many times as long streams and starts take."""
        return self.slowness.get(precision, self.slowness.get("fp32", 1.0))

    def stream(self, kind: str) -> float:
        """Return the bytes a second of a kind of operation."""
        return self.streams.get(kind, self.streams["memory"])

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
    rates = {}
    for precision, peak in device.flops.items():
        for kind, share in SHARES.items():
            points = ((1, peak * REACHED[precision] * share),)
            rates[f"{kind}/{precision}"] = rates[f"{kind}_backward/{precision}"] = points
    best = device.fastest
    return Machine(
        name=device.name,
        memory=device.memory,
        precision=best,
        rates=rates,
        streams={"memory": device.bandwidth * REACHED_BANDWIDTH},
        starts={"memory": LAUNCH},
        basis=f"published peaks, of which training reaches {REACHED['fp32']:.0%} in fp32 and "
        f"{REACHED['fp16']:.0%} on Tensor cores, and {REACHED_BANDWIDTH:.0%} of the bandwidth; "
        "cuDNN's workspace comes on top",
    )
