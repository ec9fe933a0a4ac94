"""Measure this machine once for plans: its speed, and what a process holds besides its tensors."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from statistics import fmean

import torch

from convsmith.errors import DeviceError
from convsmith.planning.calibration import measure_rates, read_machine, write_machine
from convsmith.planning.machine import Machine
from convsmith.planning.synthetic import NETWORKS
from convsmith.planning.trace import trace
from convsmith.processor import cpu_name
from convsmith.training.device import bf16_supported
from convsmith.training.memory import keep_freed_memory
from convsmith.training.precision_auto import machine as machine_key

__all__ = ["this_machine"]

Say = Callable[[str], None]
BATCH = 96
TRIAL = """
import json, sys
import torch
from convsmith.training.memory import peak_bytes, used_bytes
cpu = torch.device("cpu")
before = used_bytes(cpu)
from convsmith.api.calibrate import try_training
try_training(*sys.argv[1:])
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


def measure_growth(precisions: tuple[str, ...], say: Say) -> tuple[float, float]:
    """Return the bytes of a process besides its tensors, and how its heap grows with them.

    Short trainings of small networks are made in processes of their own. What the smallest takes is
    nearly all besides its tensors; what the others take more is compared with their traces' heaps.
    """
    say("measuring this machine, once: memory besides tensors")
    least, data = traced_heap("tiny", "fp32", BATCH), 3 * BATCH * 3 * 32 * 32
    runtime = measured_peak("tiny", "fp32") - least - data
    ratios = []
    for name in ("plain", "residual", "inverted"):
        for precision in precisions:
            say(f"measuring this machine, once: memory of the {name} network in {precision}")
            peak = measured_peak(name, precision)
            ratios.append((peak - runtime - data) / traced_heap(name, precision, BATCH))
    return float(runtime), fmean(ratios)


def traced_heap(name: str, precision: str, batch: int) -> int:
    """Return what a heap comes to hold for the tensors of such a training."""
    return trace(
        NETWORKS[name](),
        lambda copied: torch.optim.SGD(copied.parameters(), momentum=0.9),
        (3, 32, 32),
        batch,
        precision=precision,
        memory_format=torch.channels_last,
    ).heap


def measured_peak(name: str, precision: str) -> int:
    """Return what a training takes beyond ``import torch``, in a process of its own."""
    with tempfile.TemporaryDirectory() as place:
        command = [sys.executable, "-c", TRIAL, name, precision, place]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.splitlines() or ["it says nothing"])[-1]
        raise DeviceError(f"this machine cannot be measured, a short training failed: {last}")
    return int(json.loads(done.stdout))


def try_training(name: str, precision: str, place: str) -> None:
    """Train one of the networks for four steps, as any training is made."""
    from convsmith.api.train import train
    from convsmith.data import own_source

    labels = torch.arange(2 * BATCH) % 10
    pixels = torch.randint(0, 256, (2 * BATCH, 3, 32, 32), dtype=torch.uint8)
    train(
        {
            "data": {"source": "own", "validation": 0, "augment": "none"},
            "model": "mlp",
            "optimizer": "momentum",
            "train": {
                "epochs": 2,
                "batch_size": BATCH,
                "precision": precision,
                "memory_format": "channels_last",
                "device": "cpu",
            },
        },
        model=NETWORKS[name](),
        data=own_source((pixels, labels), (pixels[:BATCH], labels[:BATCH])),
        runs=place,
        progress="none",
    )
