"""What a run's exact numbers depend on besides its recipe, and whether it is the same now."""

import hashlib
import os
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

import numpy
import PIL
import torch

import convsmith
from convsmith.processor import cpu_features, cpu_name

__all__ = ["describe", "differences"]

# Keys under "exact" must be equal for a resumed run to be bit-identical.
LABELS = {
    "convsmith": "convsmith's version",
    "torch": "torch's version",
    "numpy": "numpy's version",
    "pillow": "Pillow's version",
    "library": "the version of the network's library",
    "machine": "the processor's architecture",
    "cpu": "the processor",
    "cpu_features": "the processor's instruction sets",
    "cpu_capability": "the instruction set that torch uses",
    "limits": "what limits the instruction sets",
    "device": "the device",
    "threads": "the number of threads",
    "data": "the training images",
    "recipe": "the recipe",
}


# Settings by which people choose other kernels, which round otherwise.
LIMITS = ("ATEN_CPU_CAPABILITY", "DNNL_MAX_CPU_ISA", "ONEDNN_MAX_CPU_ISA", "MKL_CBWR")


def describe(
    device: torch.device, data_digest: str, recipe: str, library: str | None = None
) -> dict[str, Any]:
    """Return the environment of a run that starts now on ``device``.

    ``library`` is the package that the network comes from, if it is not convsmith's own.
    """
    return {
        "exact": {
            "convsmith": convsmith.__version__,
            "torch": torch.__version__,
            "numpy": numpy.__version__,
            "pillow": PIL.__version__,
            "library": None if library is None else f"{library} {version(library)}",
            "machine": platform.machine(),
            "cpu": cpu_name(),
            "cpu_features": cpu_features(),
            "cpu_capability": torch.backends.cpu.get_cpu_capability(),
            "limits": {name: os.environ[name] for name in LIMITS if name in os.environ},
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
        if key not in before or before[key] != after[key]
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
