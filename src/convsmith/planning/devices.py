"""Devices that a person may have in mind: what their makers publish of them."""

import re
from dataclasses import dataclass

from convsmith.errors import DeviceError, did_you_mean

__all__ = ["DEVICES", "Device", "find_device"]


@dataclass(frozen=True)
class Device:
    """A graphics processor; ``flops`` is the published peak by precision, a multiply-add being 2.

    ``memory`` is in bytes, ``bandwidth`` in bytes a second. A precision that is missing in
    ``flops`` is not one to train in there: it is emulated, slower, or known to fail.
    """

    name: str
    memory: int
    bandwidth: float
    flops: dict[str, float]

    @property
    def fastest(self) -> str:
        """Return the precision with the highest peak; bf16 before fp16, which needs scaling."""
        return max(self.flops, key=lambda each: (self.flops[each], each == "bf16"))


GB, TERA = 2**30, 1e12

# From the makers' data sheets and architecture papers; peaks of GeForce cards at boost clock, with
# fp32 accumulation and without sparsity. The GTX 16 cards have no Tensor cores, and their fp16
# convolutions are known to give NaN; the GTX 10 cards compute fp16 at 1/64 of fp32.
DEVICES: dict[str, Device] = {
    "gtx-1060": Device("GeForce GTX 1060 6GB", 6 * GB, 192e9, {"fp32": 4.4 * TERA}),
    "gtx-1660-super": Device("GeForce GTX 1660 SUPER", 6 * GB, 336e9, {"fp32": 5.0 * TERA}),
    "t4": Device("Tesla T4", 16 * GB, 320e9, {"fp32": 8.1 * TERA, "fp16": 65 * TERA}),
    "rtx-3060": Device(
        "GeForce RTX 3060 12GB",
        12 * GB,
        360e9,
        {"fp32": 12.7 * TERA, "fp16": 25.5 * TERA, "bf16": 25.5 * TERA},
    ),
    "rtx-4090": Device(
        "GeForce RTX 4090",
        24 * GB,
        1008e9,
        {"fp32": 82.6 * TERA, "fp16": 165 * TERA, "bf16": 165 * TERA},
    ),
    "a100": Device(
        "A100 SXM 40GB",
        40 * GB,
        1555e9,
        {"fp32": 19.5 * TERA, "fp16": 312 * TERA, "bf16": 312 * TERA},
    ),
    "h100": Device(
        "H100 SXM 80GB",
        80 * GB,
        3350e9,
        {"fp32": 67 * TERA, "fp16": 989 * TERA, "bf16": 989 * TERA},
    ),
    "h200": Device(
        "H200 SXM 141GB",
        141 * 10**9,
        4800e9,
        {"fp32": 67 * TERA, "fp16": 989 * TERA, "bf16": 989 * TERA},
    ),
    "m1": Device("Apple M1, 8 cores", 8 * GB, 68e9, {"fp32": 2.6 * TERA}),
    "m2": Device("Apple M2, 10 cores", 8 * GB, 100e9, {"fp32": 3.6 * TERA}),
}


VARIANTS = r"-(ti|super|laptop|pro|max|ultra)\b"


def find_device(name: str) -> Device:
    """Return the device called ``name``: upper case, blanks and ``_`` are as good.

    So is the name that a driver gives it, such as ``NVIDIA A100-SXM4-40GB``; not that of a variant,
    such as an RTX 3060 Ti, which is another card.

    Raises:
        DeviceError: there is none; names the nearest.
    """
    key = name.strip().lower().replace(" ", "-").replace("_", "-")
    within = [known for known in DEVICES if re.search(rf"\b{known}\b(?!{VARIANTS})", key)]
    if not within:
        known = ", ".join(["auto", "cpu", "cuda", *DEVICES])
        begun = [each for each in DEVICES if key and each.startswith(key)]
        raise DeviceError(
            f"no device is called {name!r}{did_you_mean(key, begun or DEVICES)}; known: {known}"
        )
    return DEVICES[max(within, key=len)]
