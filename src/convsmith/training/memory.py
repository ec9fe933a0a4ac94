"""The process's memory: how much it holds, and keeping what was freed for the next step."""

import ctypes
import re
import sys
from pathlib import Path

import torch

__all__ = ["keep_freed_memory", "out_of_memory", "peak_bytes", "used_bytes"]

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4  # from glibc's malloc.h


def keep_freed_memory() -> bool:
    """Tell glibc's allocator to keep freed memory; return whether it did.

    Training asks for the same buffers at every step. By default glibc gives large ones back to the
    kernel, and filling fresh pages is several times slower than filling kept ones. At fixed shapes
    this costs no memory. On other systems nothing is done.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):  # musl has neither
        return False
    settings = ((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, 2**31 - 1), (M_TOP_PAD, 256 * 2**20))
    return all(mallopt(name, value) == 1 for name, value in settings)


def out_of_memory(error: Exception) -> bool:
    """Return whether an error says that memory ran out, on a GPU or in the process."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    # PyTorch's allocator on a CPU and mmap, oneDNN and C++ raise plain RuntimeErrors
    told = ("allocate memory", "could not create a primitive", "bad_alloc")
    return isinstance(error, RuntimeError) and any(words in str(error) for words in told)


def used_bytes(device: torch.device) -> int:
    """Return the bytes in use: allocated on a GPU, resident for a process on the CPU."""
    if device.type == "cuda":
        return torch.cuda.memory_allocated(device)
    try:
        resident = Path("/proc/self/statm").read_text().split()[1]
    except OSError:
        return peak_bytes(device)
    return int(resident) * _page_size()


def peak_bytes(device: torch.device) -> int:
    """Return the most bytes that were in use so far; 0 where the system does not say."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:  # getrusage would count what a parent process held when it started this one
        status = Path("/proc/self/status").read_text()
        return int(re.search(r"^VmHWM:\s+(\d+) kB", status, re.MULTILINE)[1]) * 1024  # type: ignore[index]
    except (OSError, TypeError):
        pass
    try:
        import resource
    except ImportError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _page_size() -> int:
    import resource

    return resource.getpagesize()
