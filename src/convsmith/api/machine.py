"""What the operating system says of this machine: memory, disk, processors, NVIDIA's driver.

Nothing here needs PyTorch, and each answer is None where a system does not give it.
"""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

__all__ = [
    "DriverGpu",
    "Memory",
    "cuda_driver",
    "driver_gpus",
    "free_disk",
    "memory",
    "usable_cores",
]

CGROUPS = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class Memory:
    """Main memory in bytes; ``limit`` is what a container or job scheduler allows this process."""

    total: int | None
    available: int | None
    limit: int | None


@dataclass(frozen=True)
class DriverGpu:
    """A GPU as NVIDIA's driver lists it, whether or not PyTorch can use it."""

    name: str
    memory_bytes: int
    driver: str


def memory(proc: Path = Path("/proc"), cgroups: Path = CGROUPS) -> Memory:
    """Return the machine's memory, less what a control group forbids."""
    total, available = system_memory(proc)
    limits = [found for group in control_groups(proc, cgroups) if (found := group_memory(group))]
    if not limits:
        return Memory(total, available, None)
    limit = min(limit for limit, _ in limits)
    if total is not None and limit >= total:
        return Memory(total, available, None)
    left = [max(0, limit - used) for limit, used in limits]
    return Memory(total, min([*left, *([] if available is None else [available])]), limit)


def system_memory(proc: Path) -> tuple[int | None, int | None]:
    """Return the bytes that the whole machine has and has free."""
    try:
        text = (proc / "meminfo").read_text()
    except OSError:
        return portable_memory(), None
    found = {
        name: int(value) * 1024 for name, value in re.findall(r"^(\w+):\s+(\d+) kB", text, re.M)
    }
    return found.get("MemTotal"), found.get("MemAvailable")


def portable_memory() -> int | None:
    """Return the machine's memory where there is no /proc; Windows does not say."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None


def control_groups(proc: Path, cgroups: Path) -> list[Path]:
    """Return the folders of the memory groups that this process is in, innermost first."""
    try:
        lines = (proc / "self" / "cgroup").read_text().splitlines()
    except OSError:
        return []
    folders = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        base = cgroups / "memory" if controllers else cgroups
        group = base / path.lstrip("/")
        # Inside a container the path may be the host's; the container's own group is the base then.
        folders += [each for each in (group, *group.parents) if each.is_relative_to(base)]
    return folders


def group_memory(group: Path) -> tuple[int, int] | None:
    """Return a group's limit and what it uses, file cache that can be dropped not counted."""
    for limit_file, used_file, cache in (
        ("memory.max", "memory.current", "inactive_file"),
        ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ):
        try:
            limit = (group / limit_file).read_text().strip()
            if not limit.isdigit():  # "max"
                continue
            used = int((group / used_file).read_text())
            statistics = (group / "memory.stat").read_text()
        except (OSError, ValueError):
            continue
        droppable = re.search(rf"^{cache} (\d+)$", statistics, re.M)
        return int(limit), used - (int(droppable[1]) if droppable else 0)
    return None


def usable_cores() -> int:
    """Return the processors that this process may run on."""
    if sys.platform.startswith("linux"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def free_disk(path: Path) -> int | None:
    """Return the bytes free where ``path`` is or would be."""
    existing = next((p for p in (path.absolute(), *path.absolute().parents) if p.exists()), None)
    try:
        return None if existing is None else shutil.disk_usage(existing).free
    except OSError:
        return None


def driver_gpus() -> tuple[DriverGpu, ...]:
    """Return the GPUs that NVIDIA's driver lists; empty where its tool is not installed."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return ()
    query = [
        program,
        "--query-gpu=name,memory.total,driver_version",
        "--format=csv,noheader,nounits",
    ]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return ()
    rows = [line.split(", ") for line in answer.stdout.splitlines()]
    return tuple(
        DriverGpu(name, int(mebibytes) * 2**20 if mebibytes.isdigit() else 0, driver)
        for name, mebibytes, driver in (row for row in rows if len(row) == 3)
    )


def cuda_driver(gpus: tuple[DriverGpu, ...], proc: Path = Path("/proc")) -> str | None:
    """Return the version of NVIDIA's driver, asked from its tool or from the kernel."""
    if gpus:
        return gpus[0].driver
    try:
        text = (proc / "driver" / "nvidia" / "version").read_text()
    except OSError:
        return None
    match = re.search(r"Kernel Module.*?\s(\d+\.\d+(?:\.\d+)?)\s", text)
    return match[1] if match else None
