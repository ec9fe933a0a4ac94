"""Measure this machine once for plans: its speed, and what a process holds besides its tensors."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable

import torch
from torch import nn

from convsmith.errors import DeviceError
from convsmith.planning.calibration import measure_rates, read_machine, write_machine
from convsmith.planning.machine import Machine
from convsmith.planning.trace import trace
from convsmith.processor import cpu_name
from convsmith.training.device import bf16_supported
from convsmith.training.memory import keep_freed_memory
from convsmith.training.precision_auto import machine as machine_key

__all__ = ["this_machine"]

Say = Callable[[str], None]
BATCHES = (32, 96)
TRIAL = """
import json, sys
import torch
from convsmith.training.memory import peak_bytes, used_bytes
cpu = torch.device("cpu")
before = used_bytes(cpu)
from convsmith.api.calibrate import try_training
try_training(sys.argv[1], int(sys.argv[2]), sys.argv[3])
print(peak_bytes(cpu) - before)
"""


def this_machine(say: Say) -> Machine:
    """Return what is known of this processor; the first time it is measured, for half a minute."""
    device = torch.device("cpu")
    key = machine_key(device)
    known = read_machine(key)
    if known is not None:
        return known
    precisions = ("fp32", "bf16") if bf16_supported(device) else ("fp32",)
    say("measuring this machine, once: how fast it is")
    keep_freed_memory()
    with torch.random.fork_rng(devices=[]):
        rates, bandwidth, overhead = measure_rates(precisions)
    runtime, growth = measure_growth(precisions, say)
    best = max(precisions, key=lambda each: rates[f"conv/{each}"][-1][1])
    machine = Machine(
        name=cpu_name(),
        memory=None,
        precision=best,
        bandwidth=bandwidth,
        overhead=overhead,
        rates=rates,
        runtime=runtime,
        growth=growth,
        basis="measured on this machine",
    )
    write_machine(key, machine)
    return machine


def measure_growth(precisions: tuple[str, ...], say: Say) -> tuple[float, dict[str, float]]:
    """Return the bytes of a process besides its tensors, and the share that its heap adds to them.

    Short trainings of a network of usual layers are made in processes of their own; their peaks
    are a line over the peaks of their tensors, with one foot and a slope for each precision.
    """
    points = []
    for precision in precisions:
        for batch in BATCHES:
            say(f"measuring this machine, once: memory of {batch} images in {precision}")
            model = usual_layers()
            live = trace(
                model,
                lambda copied: torch.optim.SGD(copied.parameters(), momentum=0.9),
                (3, 32, 32),
                batch,
                precision=precision,
                memory_format=torch.channels_last,
            ).training_peak
            points.append((precision, live, measured_peak(precision, batch)))
    columns = [[1.0, *(live * (each == name) for each in precisions)] for name, live, _ in points]
    peaks = torch.tensor([[float(peak)] for *_, peak in points], dtype=torch.float64)
    solved = torch.linalg.lstsq(torch.tensor(columns, dtype=torch.float64), peaks).solution
    runtime, *slopes = solved.flatten().tolist()
    return runtime, dict(zip(precisions, slopes, strict=True))


def measured_peak(precision: str, batch: int) -> int:
    """Return what a training takes beyond ``import torch``, in a process of its own."""
    with tempfile.TemporaryDirectory() as place:
        command = [sys.executable, "-c", TRIAL, precision, str(batch), place]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.splitlines() or ["it says nothing"])[-1]
        raise DeviceError(f"this machine cannot be measured, a short training failed: {last}")
    return int(json.loads(done.stdout))


def usual_layers() -> nn.Module:
    """Return a network of layers as most have them: 3x3 convolutions, BatchNorm, ReLU, pooling."""
    layers: list[nn.Module] = []
    channels = 3
    for width in (64, 128, 128, 256, 256):
        layers += [
            nn.Conv2d(channels, width, 3, padding=1, stride=2 if channels in (64, 128) else 1),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
        ]
        channels = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 10))


def try_training(precision: str, batch: int, place: str) -> None:
    """Train the usual layers for four steps, as any training is made."""
    from convsmith.api.train import train
    from convsmith.data import own_source

    labels = torch.arange(2 * batch) % 10
    pixels = torch.randint(0, 256, (2 * batch, 3, 32, 32), dtype=torch.uint8)
    train(
        {
            "data": {"source": "own", "validation": 0, "augment": "none"},
            "model": "mlp",
            "optimizer": "momentum",
            "train": {
                "epochs": 2,
                "batch_size": batch,
                "precision": precision,
                "memory_format": "channels_last",
                "device": "cpu",
            },
        },
        model=usual_layers(),
        data=own_source((pixels, labels), (pixels[:20], labels[:20])),
        runs=place,
        progress="none",
    )
