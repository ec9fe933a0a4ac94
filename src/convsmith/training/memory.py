"""The process's memory: how much it holds, and keeping what was freed for the next step."""

import ctypes
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import torch

__all__ = [
    "can_limit",
    "keep_freed_memory",
    "limited",
    "out_of_memory",
    "peak_bytes",
    "release",
    "reserved_bytes",
    "used_bytes",
]

# from glibc's malloc.h
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD, M_MMAP_MAX = -1, -2, -3, -4
KEEPING = {M_MMAP_MAX: 0, M_TRIM_THRESHOLD: 2**31 - 1, M_TOP_PAD: 256 * 2**20}
GIVING_BACK = {  # glibc's initial values; set, they stay: by itself it would raise the threshold
    M_MMAP_MAX: 65536,
    M_TRIM_THRESHOLD: 128 * 2**10,
    M_TOP_PAD: 128 * 2**10,
    M_MMAP_THRESHOLD: 128 * 2**10,
}


def keep_freed_memory(keep: bool = True) -> bool:
    """Tell glibc's allocator to keep freed memory, or not to; return whether it listened.

    Training asks for the same buffers at every step. By default glibc gives large ones back to the
    kernel, and filling fresh pages is several times slower than filling kept ones. The price is
    memory: what is kept lies in pieces, and the process comes to hold clearly more than is in use.
    So under a limit every large buffer is given back as soon as it is freed. On other systems
    nothing is done.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):  # musl has neither
        return False
    settings = KEEPING if keep else GIVING_BACK
    return all(mallopt(name, value) == 1 for name, value in settings.items())


def can_limit(device: torch.device) -> bool:
    """Return whether :func:`limited` holds on this system: GPUs, and processes on Linux."""
    return device.type == "cuda" or sys.platform.startswith("linux")


@contextmanager
def limited(device: torch.device, size: int | None) -> Iterator[None]:
    """Let this process take at most ``size`` bytes more of a device's memory; None is no limit.

    More than that raises an error that :func:`out_of_memory` knows. On a GPU it is a share of its
    memory for PyTorch's allocator, on Linux the data limit of the process (RLIMIT_DATA), which is
    put back in the end and never raised above one that was there before.
    """
    if size is None or not can_limit(device):
        yield
    elif device.type == "cuda":
        total = torch.cuda.get_device_properties(device).total_memory
        taken = torch.cuda.memory_reserved(device) + size
        torch.cuda.set_per_process_memory_fraction(min(1.0, taken / total), device)
        try:
            yield
        finally:
            torch.cuda.set_per_process_memory_fraction(1.0, device)
    else:
        import resource

        release(device)
        soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
        wanted = data_bytes() + size
        for known in (soft, hard):
            wanted = wanted if known == resource.RLIM_INFINITY else min(wanted, known)
        resource.setrlimit(resource.RLIMIT_DATA, (wanted, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def data_bytes() -> int:
    """Return what Linux counts against a process's data limit: its private writable memory."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmData:")[2].split()[0]) * 1024


def out_of_memory(error: Exception) -> bool:
    """Return whether an error says that memory ran out, on a GPU or in the process."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    # PyTorch's allocator on a CPU and mmap, oneDNN, C++ and threads raise plain RuntimeErrors
    told = ("allocate memory", "could not create a primitive", "bad_alloc", "start new thread")
    return isinstance(error, RuntimeError) and any(words in str(error) for words in told)


def reserved_bytes(device: torch.device) -> int | None:
    """Return what PyTorch holds of a GPU, in use or not; None for a CPU."""
    return torch.cuda.memory_reserved(device) if device.type == "cuda" else None


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


def release(device: torch.device) -> None:
    """Give freed memory back: a GPU's cached blocks, and glibc's free pages."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif sys.platform.startswith("linux"):
        with suppress(OSError, AttributeError):  # musl has no malloc_trim
            ctypes.CDLL("libc.so.6").malloc_trim(0)
