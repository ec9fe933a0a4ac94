"""What processor this is."""

import platform
import re
import sys
from pathlib import Path

__all__ = ["cpu_features", "cpu_name", "int8_support"]

# Instructions that sum products of 8-bit integers in 32 bits.
INT8 = {
    "avx512_vnni": "AVX-512 VNNI",
    "avx_vnni": "AVX VNNI",
    "avx_vnni_int8": "AVX VNNI INT8",
    "amx_int8": "AMX INT8",
    "asimddp": "NEON dot product",
    "i8mm": "NEON i8mm",
}


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


def int8_support() -> tuple[str, ...]:
    """Return the processor's instructions for products of 8-bit integers, by their usual names."""
    features = cpu_features().split()
    return tuple(name for flag, name in INT8.items() if flag in features)


def cpuinfo() -> str:
    """Return Linux's description of the processor, or nothing elsewhere."""
    if not sys.platform.startswith("linux"):
        return ""
    try:
        return Path("/proc/cpuinfo").read_text()
    except OSError:
        return ""
