"""What processor this is."""

import platform
import re
import sys
from pathlib import Path

__all__ = ["cpu_features", "cpu_name"]


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
