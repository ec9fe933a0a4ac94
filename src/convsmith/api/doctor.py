"""Say what this machine has, what convsmith makes of it, what is missing and how to get it."""

import os
import platform
import re
import warnings
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import torch

from convsmith import __version__
from convsmith.api.machine import (
    DriverGpu,
    Memory,
    cuda_driver,
    driver_gpus,
    free_disk,
    memory,
    usable_cores,
)
from convsmith.data import SOURCES, find_root, load_source
from convsmith.errors import DataError
from convsmith.processor import cpu_features, cpu_name
from convsmith.runs.folder import find_runs_folder
from convsmith.training.device import (
    bf16_supported,
    fp16_unsafe,
    gpu_count,
    resolve_device,
    unsupported,
)

__all__ = ["Cpu", "Cuda", "DataSet", "Disk", "Gpu", "Report", "doctor"]

# The GPUs that the builds of PyTorch 2.12 to 2.14 for Linux on x86 have code for, and the first
# driver that runs them: PyTorch's RELEASE.md, "PyTorch CUDA Support Matrix", and NVIDIA's CUDA
# Toolkit release notes, "Minimum Required Driver Versions". Newer cards run the last one's PTX.
BUILDS = {"12.6": ((5, 0), (9, 0), 525), "13.0": ((7, 5), None, 580)}


@dataclass(frozen=True)
class Cpu:
    """The processor; ``torch_uses`` is the instruction set that PyTorch chose."""

    name: str
    cores: int
    threads: int
    instruction_sets: tuple[str, ...]
    torch_uses: str
    bf16: bool
    fp16_note: str


@dataclass(frozen=True)
class Gpu:
    """A GPU as PyTorch sees it; ``problem`` says why it cannot be used, and is empty if it can.

    ``bf16`` is whether it computes in bf16 itself; ``fp16_note`` why fp16 is not tried, if so.
    """

    index: int
    name: str
    memory_bytes: int
    free_bytes: int | None
    capability: str
    problem: str
    builds: tuple[str, ...]
    bf16: bool
    fp16_note: str


@dataclass(frozen=True)
class Cuda:
    """CUDA as this build of PyTorch has it; ``problem`` is what it said when it was asked for."""

    build: str | None
    architectures: tuple[str, ...]
    cudnn: str | None
    driver: str | None
    problem: str


@dataclass(frozen=True)
class Disk:
    """A folder that convsmith writes to, and the bytes free there."""

    purpose: str
    path: str
    free_bytes: int | None


@dataclass(frozen=True)
class DataSet:
    """A data set and its images; ``problem`` says why it cannot be read and how to get it."""

    name: str
    images: int
    classes: int
    problem: str


@dataclass(frozen=True)
class Report:
    """Everything that ``convsmith doctor`` knows; ``missing`` is what the reader can mend."""

    convsmith: str
    system: str
    python: str
    versions: dict[str, str]
    device: str
    cpu: Cpu
    memory: Memory
    disks: tuple[Disk, ...]
    cuda: Cuda
    gpus: tuple[Gpu, ...]
    data_root: str
    data: tuple[DataSet, ...]
    missing: tuple[str, ...]


def doctor(
    *,
    runs: str | os.PathLike[str] | None = None,
    data_root: str | os.PathLike[str] | None = None,
) -> Report:
    """Look at this machine and return what was found; nothing is changed.

    Args:
        runs: the folder of runs, whose disk is looked at.
        data_root: where data sets lie; each is read, to see that it is whole.
    """
    listed = driver_gpus()
    cuda = describe_cuda(listed)
    gpus = tuple(describe_gpu(index) for index in range(gpu_count()))
    root = find_root(data_root)
    data = tuple(describe_data(name, root) for name in SOURCES)
    problems = [cuda_advice(cuda, listed)] if not gpus else [gpu_advice(gpu) for gpu in gpus]
    problems += [each.problem for each in data]
    return Report(
        convsmith=__version__,
        system=platform.platform(),
        python=platform.python_version(),
        versions=versions(),
        device=str(resolve_device("auto")),
        cpu=describe_cpu(),
        memory=memory(),
        disks=describe_disks(find_runs_folder(runs), root),
        cuda=cuda,
        gpus=gpus,
        data_root=str(root),
        data=data,
        missing=tuple(problem for problem in problems if problem),
    )


def versions() -> dict[str, str]:
    """Return the installed version of each package that convsmith needs."""
    found = {}
    for requirement in metadata.requires("convsmith") or []:
        if "extra ==" in requirement:
            continue
        name = re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0]
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "missing"
    return found


def describe_cpu() -> Cpu:
    """Return what is known of the processor."""
    device = torch.device("cpu")
    return Cpu(
        name=cpu_name(),
        cores=usable_cores(),
        threads=torch.get_num_threads(),
        instruction_sets=tuple(cpu_features().split()),
        torch_uses=torch.backends.cpu.get_cpu_capability(),
        bf16=bf16_supported(device),
        fp16_note=fp16_unsafe(device),
    )


def describe_cuda(listed: tuple[DriverGpu, ...]) -> Cuda:
    """Return PyTorch's CUDA and the driver, and what PyTorch warns of when it starts it."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.is_available()
    cudnn = torch.backends.cudnn.version() if torch.version.cuda else None
    return Cuda(
        build=torch.version.cuda,
        architectures=tuple(torch.cuda.get_arch_list()),
        cudnn=None if cudnn is None else str(cudnn),
        driver=cuda_driver(listed),
        problem=" ".join(" ".join(str(each.message).split()) for each in caught),
    )


def describe_gpu(index: int) -> Gpu:
    """Return what is known of one GPU; one without code for it is not started."""
    properties = torch.cuda.get_device_properties(index)
    capability = (properties.major, properties.minor)
    problem = unsupported(index)
    device = torch.device("cuda", index)
    free = None
    if not problem:
        try:
            free = torch.cuda.mem_get_info(index)[0]
        except RuntimeError as error:  # in exclusive use by another process, or fallen off the bus
            problem = f"it does not answer: {str(error).splitlines()[0]}"
    return Gpu(
        index=index,
        name=properties.name,
        memory_bytes=properties.total_memory,
        free_bytes=free,
        capability=f"{capability[0]}.{capability[1]}",
        problem=problem,
        builds=tuple(builds_for(capability)),
        bf16=bf16_supported(device),
        fp16_note=fp16_unsafe(device),
    )


def builds_for(capability: tuple[int, int]) -> list[str]:
    """Return the CUDA versions whose builds of PyTorch have code for a compute capability."""
    return [
        cuda
        for cuda, (first, last, _) in BUILDS.items()
        if first <= capability and (last is None or capability <= last)
    ]


def describe_disks(runs: Path, root: Path) -> tuple[Disk, ...]:
    """Return the folders that convsmith reads and writes, with the space left there."""
    named = {"runs": runs, "data": root}
    return tuple(
        Disk(purpose, str(path.absolute()), free_disk(path)) for purpose, path in named.items()
    )


def describe_data(name: str, root: Path) -> DataSet:
    """Read a data set whole, so that a broken file is found here and not in a training."""
    try:
        source = load_source(name, root)
    except DataError as error:
        return DataSet(name, 0, 0, str(error))
    images = len(source.train) + (0 if source.test is None else len(source.test))
    return DataSet(name, images, len(source.classes), "")


def gpu_advice(gpu: Gpu) -> str:
    """Return how to get a GPU to work; empty if it does."""
    if not gpu.problem:
        return ""
    if not gpu.builds:
        return f"cuda:{gpu.index}: {gpu.problem}; no build of PyTorch 2.14 supports it: use the CPU"
    builds = " or ".join(gpu.builds)
    return f"cuda:{gpu.index}: {gpu.problem}; the builds of PyTorch for CUDA {builds} support it"


def cuda_advice(cuda: Cuda, listed: tuple[DriverGpu, ...]) -> str:
    """Return what keeps PyTorch from the GPUs that the driver lists; empty if there are none."""
    if not listed:
        return cuda.problem
    names = ", ".join(gpu.name for gpu in listed)
    if cuda.build is None:
        return f"there is {names}, but this PyTorch is built without CUDA: install a CUDA build"
    needed = next(
        (
            need
            for cuda_version, (_, _, need) in BUILDS.items()
            if cuda_version.split(".")[0] == cuda.build.split(".")[0]
        ),
        None,
    )
    major = int(cuda.driver.split(".")[0]) if cuda.driver else None
    if needed is not None and major is not None and major < needed:
        older = [v for v, (_, _, need) in BUILDS.items() if need <= major]
        instead = f", or install the build of PyTorch for CUDA {older[-1]}" if older else ""
        return (
            f"there is {names}, but driver {cuda.driver} is too old for CUDA {cuda.build}: "
            f"update it to {needed} or newer{instead}"
        )
    return f"there is {names}, but PyTorch cannot use it: {cuda.problem or 'it does not say why'}"
