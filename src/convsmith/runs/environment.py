"""What a run's exact numbers depend on besides its recipe, and whether it is the same now."""

import hashlib
import os
import platform
import re
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy
import PIL
import torch

import convsmith

__all__ = ["describe", "differences"]

# Keys under "exact" must be equal for a resumed run to be bit-identical.
LABELS = {
    "convsmith": "convsmith's version",
    "torch": "torch's version",
    "numpy": "numpy's version",
    "pillow": "Pillow's version",
    "machine": "the processor's architecture",
    "cpu": "the processor",
    "cpu_features": "the processor's instruction sets",
    "cpu_capability": "the instruction set that torch uses",
    "device": "the device",
    "threads": "the number of threads",
    "data": "the training images",
    "recipe": "the recipe",
}


def describe(device: torch.device, data_digest: str, recipe: str) -> dict[str, Any]:
    """Return the environment of a run that starts now on ``device``."""
    return {
        "exact": {
            "convsmith": convsmith.__version__,
            "torch": torch.__version__,
            "numpy": numpy.__version__,
            "pillow": PIL.__version__,
            "machine": platform.machine(),
            "cpu": cpu_name(),
            "cpu_features": cpu_features(),
            "cpu_capability": torch.backends.cpu.get_cpu_capability(),
            "device": device_name(device),
            "threads": torch.get_num_threads(),
            "data": data_digest,
            "recipe": hashlib.blake2b(recipe.encode(), digest_size=16).hexdigest(),
        },
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cores": os.cpu_count(),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def differences(stored: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return, in words, each thing that must be equal for an exact resume and is not."""
    before, after = stored.get("exact", {}), now["exact"]
    return [
        f"{label} was {short(before.get(key))} and is {short(after[key])}"
        for key, label in LABELS.items()
        if before.get(key) != after[key]
    ]


def short(value: object) -> str:
    """Return at most 60 characters of a value."""
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


def device_name(device: torch.device) -> str:
    """Return ``cpu``, or a GPU's name and compute capability."""
    if device.type != "cuda":
        return device.type
    major, minor = torch.cuda.get_device_capability(device)
    return f"{torch.cuda.get_device_name(device)} ({major}.{minor})"


def cpu_name() -> str:
    """Return the processor's model name."""
    match = re.search(r"^model name\s*:\s*(.+)$", cpuinfo(), re.MULTILINE)
    return match[1] if match else platform.processor() or platform.machine()


def cpu_features() -> str:
    """Return the processor's vector instruction sets, those that change how sums are rounded."""
    match = re.search(r"^(?:flags|Features)\s*:\s*(.+)$", cpuinfo(), re.MULTILINE)
    flags = match[1].split() if match else []
    kept = [f for f in flags if re.match(r"avx|amx|fma|f16c|sse4|asimd|sve|bf16|i8mm", f)]
    return " ".join(sorted(kept))


def cpuinfo() -> str:
    """Return Linux's description of the processor, or nothing elsewhere."""
    if not sys.platform.startswith("linux"):
        return ""
    try:
        return Path("/proc/cpuinfo").read_text()
    except OSError:
        return ""
