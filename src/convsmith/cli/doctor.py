"""``convsmith doctor``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from convsmith.cli import options
from convsmith.cli.output import print_json, table

if TYPE_CHECKING:
    from convsmith.api.doctor import Cpu, DataSet, Gpu, Report
    from convsmith.api.machine import Memory

__all__ = ["command"]


@click.command("doctor")
@options.runs
@options.data_root
@options.as_json
def command(runs: str | None, data_root: str | None, as_json: bool) -> None:
    """Say what this machine has and what is missing.

    Every data set is read, so this takes a few seconds.
    """
    from convsmith.api.doctor import doctor

    report = doctor(runs=runs, data_root=data_root)
    if as_json:
        print_json(report)
    else:
        print(readable(report))


def readable(report: Report) -> str:
    """Return the report as a person reads it."""
    versions = ", ".join(f"{name} {version}" for name, version in report.versions.items())
    rows = [
        ("convsmith", f"{report.convsmith}, Python {report.python}, {report.system}"),
        ("versions", versions),
        ("trains on", report.device),
        ("processor", processor(report.cpu)),
        ("instructions", " ".join(report.cpu.instruction_sets) or "unknown"),
        ("precision", precision(report.cpu)),
        ("memory", memory_line(report.memory)),
    ]
    rows += [
        (f"{disk.purpose} disk", f"{size(disk.free_bytes)} free in {disk.path}")
        for disk in report.disks
    ]
    rows += cuda_rows(report)
    for gpu in report.gpus:
        rows += gpu_rows(gpu)
    rows += [(f"data {each.name}", data_line(each)) for each in report.data]
    rows += [("missing", line) for line in report.missing] or [("missing", "nothing")]
    return table(rows)


def processor(cpu: Cpu) -> str:
    """Return one line on the processor."""
    return f"{cpu.name}, {cpu.cores} cores, {cpu.threads} threads, PyTorch uses {cpu.torch_uses}"


def precision(device: Cpu | Gpu) -> str:
    """Return which precisions a device computes in."""
    bf16 = "bf16" if device.bf16 else "no bf16 of its own"
    fp16 = f"no fp16: {device.fp16_note}" if device.fp16_note else "fp16"
    return f"fp32, {bf16}, {fp16}"


def memory_line(memory: Memory) -> str:
    """Return one line on memory."""
    limit = "" if memory.limit is None else f", limited to {size(memory.limit)} here"
    return f"{size(memory.available)} free of {size(memory.total)}{limit}"


def cuda_rows(report: Report) -> list[tuple[str, str]]:
    """Return the lines on CUDA and the driver."""
    cuda = report.cuda
    if cuda.build is None:
        return [("CUDA", "this PyTorch is built without CUDA")]
    built = f"PyTorch is built for CUDA {cuda.build}, cuDNN {cuda.cudnn}"
    code = f", with code for {' '.join(cuda.architectures)}" if cuda.architectures else ""
    rows = [("CUDA", built + code), ("driver", cuda.driver or "no NVIDIA driver is found")]
    return rows if report.gpus else [*rows, ("GPUs", "none that PyTorch can see")]


def gpu_rows(gpu: Gpu) -> list[tuple[str, str]]:
    """Return the lines on one GPU."""
    free = "" if gpu.free_bytes is None else f"{size(gpu.free_bytes)} free of "
    head = f"{gpu.name}, {free}{size(gpu.memory_bytes)}, compute capability {gpu.capability}"
    if gpu.problem:
        head += ", not usable"
    return [(f"cuda:{gpu.index}", head), ("precision", precision(gpu))]


def data_line(data: DataSet) -> str:
    """Return one line on a data set."""
    if data.problem:
        return "not found or not readable"
    return f"{data.images:,} images in {data.classes} classes"


def size(count: int | None) -> str:
    """Return bytes in GiB."""
    return "unknown" if count is None else f"{count / 2**30:.1f} GiB"
