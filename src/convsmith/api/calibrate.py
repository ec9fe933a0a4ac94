"""Measure this machine once for plans: its speed, and what a process holds besides its tensors."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, median

import torch

from convsmith.errors import DeviceError
from convsmith.planning.calibration import measure_rates, read_machine, write_machine
from convsmith.planning.estimate import seconds_of
from convsmith.planning.machine import Machine
from convsmith.planning.synthetic import NETWORKS
from convsmith.planning.trace import Trace, trace
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
from convsmith.api.calibrate import short_training
seconds = short_training(*sys.argv[1:])
print(json.dumps({"grown": peak_bytes(cpu) - before, "seconds": seconds}))
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
        rates, streams, starts, ordering = measure_rates(precisions)
    best = max(precisions, key=lambda each: rates[f"conv/{each}"][-1][1])
    machine = Machine(
        name=cpu_name(),
        memory=None,
        precision=best,
        streams=streams,
        starts=starts,
        ordering=ordering,
        rates=rates,
        basis="measured on this machine",
    )
    machine = corrected(machine, *try_trainings(precisions, say))
    write_machine(key, machine)
    return machine


@dataclass(frozen=True)
class Trial:
    """A short training: what is known of its step, the process's growth, and a step's seconds."""

    precision: str
    made: Trace
    grown: int
    seconds: float


def try_trainings(precisions: tuple[str, ...], say: Say) -> tuple[Trial, list[Trial]]:
    """Train small networks, each in a process of its own; the first takes next to nothing."""
    say("measuring this machine, once: a training that takes next to nothing")
    least = try_training("tiny", "fp32")
    trials = []
    for name in ("plain", "residual", "inverted"):
        for precision in precisions:
            say(f"measuring this machine, once: the {name} network in {precision}")
            trials.append(try_training(name, precision))
    return least, trials


def corrected(machine: Machine, least: Trial, trials: Sequence[Trial]) -> Machine:
    """Return the machine as whole trainings show it.

    What the smallest training takes is nearly all besides its tensors; what the others take more is
    compared with their traces' heaps. What a step takes longer than the roofline of its
    operations says is put down to those that are not bound by arithmetic: measured one by one,
    they find their data in a cache more often than they do in a step.
    """
    data = 3 * BATCH * 3 * 32 * 32
    runtime = float(least.grown - least.made.heap - data)
    growth = fmean((each.grown - runtime - data) / each.made.heap for each in trials)
    machine = replace(machine, runtime=runtime, growth=growth)
    for precision in dict.fromkeys(each.precision for each in trials):
        factors = [factor(each, machine) for each in trials if each.precision == precision]
        slowness = {**machine.slowness, precision: max(1.0, fmean(factors))}
        machine = replace(machine, slowness=slowness)
    return machine


def factor(trial: Trial, machine: Machine) -> float:
    """Return how many times longer what arithmetic does not bound took than foreseen."""
    bound, all_of_it = (
        seconds_of(
            trial.made, replace(machine, slowness={**machine.slowness, trial.precision: slow})
        ).step
        for slow in (0.0, 1.0)
    )
    return (trial.seconds - bound) / (all_of_it - bound)


def try_training(name: str, precision: str) -> Trial:
    """Train one of the networks for some steps, in a process of its own."""
    made = trace(
        NETWORKS[name](),
        lambda copied: torch.optim.SGD(copied.parameters(), momentum=0.9),
        (3, 32, 32),
        BATCH,
        precision=precision,
        memory_format=torch.channels_last,
    )
    with tempfile.TemporaryDirectory() as place:
        command = [sys.executable, "-c", TRIAL, name, precision, place]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.splitlines() or ["it says nothing"])[-1]
        raise DeviceError(f"this machine cannot be measured, a short training failed: {last}")
    return Trial(precision, made, **json.loads(done.stdout))


def short_training(name: str, precision: str, place: str) -> float:
    """Train one of the networks as any training is made; return the seconds of a step."""
    from convsmith.api.train import train
    from convsmith.data import own_source

    labels = torch.arange(2 * BATCH) % 10
    pixels = torch.randint(0, 256, (2 * BATCH, 3, 32, 32), dtype=torch.uint8)
    run = train(
        {
            "data": {"source": "own", "validation": 0, "augment": "none"},
            "model": "mlp",
            "optimizer": "momentum",
            "train": {
                "epochs": 4,
                "log_every": 1,
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
    speeds = [each["images_per_second"] for each in run.metrics if each["event"] == "step"]
    return float(BATCH / median(speeds[3:]))
