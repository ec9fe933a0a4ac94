"""From a trace and a machine to seconds and bytes."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch

from convsmith.planning.machine import Machine
from convsmith.planning.tape import Operation
from convsmith.planning.trace import Trace

__all__ = [
    "Memory",
    "Seconds",
    "by_owner",
    "held_bytes",
    "memory_of",
    "seconds_of",
    "waiting",
]

PRECISION = {torch.float32: "fp32", torch.bfloat16: "bf16", torch.float16: "fp16"}


@dataclass(frozen=True)
class Memory:
    """The bytes of a training, by what they are for; ``training`` and ``inference`` are the peaks.

    ``temporary`` are tensors that live for a moment within the step; ``runtime`` is what the
    process holds besides tensors: libraries, generated code, and what its allocator keeps. Not all
    is held at once, since gradients come as activations go: the peak may be less than the sum.
    """

    weights: int
    gradients: int
    optimizer: int
    average: int
    activations: int
    temporary: int
    data: int
    runtime: int
    training: int
    inference: int


@dataclass(frozen=True)
class Seconds:
    """How long an optimizer step takes, and the share of it that arithmetic bounds."""

    step: float
    arithmetic: float
    inference: float  # for one micro-batch


def seconds_of(trace: Trace, machine: Machine, accumulate: int = 1) -> Seconds:
    """Return the time of a step of ``accumulate`` micro-batches by the roofline of its operations.

    An operation takes as long as its arithmetic or its memory traffic, whichever is longer, and
    some time to start (Williams et al., "Roofline", 2009).
    """
    total = bound = 0.0
    for operation in trace.step:
        times = 1 if operation.phase == "update" else accumulate
        seconds, arithmetic = time_of(operation, machine)
        total += times * seconds
        bound += times * seconds * arithmetic
    inference = sum(time_of(each, machine)[0] for each in trace.inference)
    return Seconds(total, bound / total, inference)


def by_owner(operations: Iterable[Operation], machine: Machine) -> dict[str, tuple[float, bool]]:
    """Return each layer's seconds, and whether arithmetic is what bounds it."""
    found: dict[str, tuple[float, float]] = {}
    for operation in operations:
        seconds, arithmetic = time_of(operation, machine)
        before = found.get(operation.owner, (0.0, 0.0))
        found[operation.owner] = before[0] + seconds, before[1] + seconds * arithmetic
    return {owner: (total, 2 * bound > total) for owner, (total, bound) in found.items()}


def time_of(operation: Operation, machine: Machine) -> tuple[float, bool]:
    """Return an operation's seconds and whether its arithmetic takes longer than its traffic."""
    precision = PRECISION.get(operation.dtype, "fp32")
    traffic = machine.slow(precision) * operation.moved_bytes / machine.stream(operation.kind)
    arithmetic = 0.0
    if operation.flops:
        arithmetic = operation.flops / machine.rate(operation.kind, precision, operation.width)
    return max(traffic, arithmetic) + waiting(operation, machine), arithmetic > traffic


def waiting(operation: Operation, machine: Machine) -> float:
    """Return the seconds that an operation takes however few images it is for."""
    precision = PRECISION.get(operation.dtype, "fp32")
    seconds = machine.slow(precision) * machine.start(operation.kind)
    if operation.filters:
        seconds += operation.filters / machine.filters(operation.kind, precision)
    return seconds


def held_bytes(trace: Trace, machine: Machine, *, held: bool) -> int:
    """Return what a process comes to hold for its tensors; ``held`` as for :func:`memory_of`."""
    if held or machine.growth is None:
        return trace.training_peak
    return max(trace.training_peak, round(machine.growth * trace.heap))


def memory_of(
    trace: Trace,
    machine: Machine,
    *,
    average: bool,
    data: int,
    held: bool = False,
) -> Memory:
    """Return what a training takes.

    Args:
        trace: of a step of one micro-batch.
        machine: knows what a process holds besides its tensors.
        average: whether a moving average of the weights is kept.
        data: bytes of images in memory.
        held: under a limit, where freed memory is given back at once.
    """
    held_weights = trace.weights + trace.gradients + trace.optimizer
    copies = trace.weights if average else 0
    grown = held_bytes(trace, machine, held=held)
    tensors = trace.training_peak + copies
    fixed = int(machine.runtime)
    kept = grown - trace.training_peak
    return Memory(
        weights=trace.weights,
        gradients=trace.gradients,
        optimizer=trace.optimizer,
        average=copies,
        activations=trace.kept,
        temporary=max(0, trace.training_peak - held_weights - trace.kept),
        data=data,
        runtime=fixed + kept,
        training=tensors + data + fixed + kept,
        inference=trace.inference_peak + fixed,
    )
