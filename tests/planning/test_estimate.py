"""From traces to seconds and bytes, against hand-made figures."""

from dataclasses import replace

import pytest
import torch

from convsmith.planning.choices import Steps, choices
from convsmith.planning.devices import DEVICES, find_device
from convsmith.planning.estimate import by_owner, memory_of, seconds_of, time_of
from convsmith.planning.machine import Machine, published
from convsmith.planning.synthetic import NETWORKS
from convsmith.planning.tape import Operation
from convsmith.planning.trace import trace

MACHINE = Machine(
    name="made up",
    memory=2**30,
    precision="fp32",
    streams={"memory": 1e9},
    starts={"memory": 1e-6},
    rates={"conv/fp32": ((16, 1e9), (256, 4e9)), "conv/bf16": ((16, 8e9),)},
    runtime=1000.0,
    growth=1.5,
)


def operation(kind="conv", flops=0, moved=0, width=16, dtype=torch.float32, phase="forward"):
    return Operation("it", "layer", phase, kind, width, flops, moved, dtype)


def test_the_longer_of_arithmetic_and_traffic_counts():
    assert time_of(operation(flops=10**9, moved=10**6), MACHINE) == (pytest.approx(1 + 1e-6), True)
    assert time_of(operation(flops=10**6, moved=10**9), MACHINE) == (pytest.approx(1 + 1e-6), False)


def test_filters_take_their_time_at_every_call_in_their_direction():
    ordered = replace(MACHINE, ordering={"conv/fp32": 1e9, "conv_backward/fp32": 1e8})
    for kind, seconds in (("pointwise", 1e-3), ("pointwise_backward", 1e-2)):
        each = replace(operation(kind=kind, moved=10**3), filters=10**6)
        assert time_of(each, MACHINE)[0] == pytest.approx(2e-6)
        assert time_of(each, ordered)[0] == pytest.approx(2e-6 + seconds)
    assert time_of(operation(kind="memory", moved=10**3), ordered)[0] == pytest.approx(2e-6)


def test_a_precision_that_was_not_measured_takes_as_long_as_fp32():
    slow = replace(MACHINE, ordering={"conv/fp32": 1e9}, slowness={"fp32": 3.0, "bf16": 2.0})
    for kind in ("conv", "memory"):
        each = replace(operation(kind=kind, moved=10**6), filters=10**6 * (kind == "conv"))
        half = replace(each, dtype=torch.float16)
        assert time_of(half, slow) == time_of(each, slow) > time_of(half, MACHINE)
    assert slow.slow("bf16") == 2


def test_smaller_micro_batches_bring_filters_into_order_once_more_each():
    steps = Steps(
        NETWORKS["residual"](),
        lambda model: torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9),
        (3, 32, 32),
        16,
        torch.channels_last,
        average=False,
        data=0,
        held=True,
    )
    machine = replace(
        published(find_device("gtx-1060")),
        ordering={"conv/fp32": 1e7, "conv_backward/fp32": 1e6},
        slowness={"fp32": 2.0},
    )
    for each in choices(steps, machine, "fp32", 1, None):
        recompute = each.gradient_checkpointing == "all"
        traced = steps.trace("fp32", each.accumulate, recompute=recompute, only_step=True)
        step = seconds_of(traced, machine, each.accumulate).step
        assert each.step_seconds == pytest.approx(step, rel=0.02)


def test_a_rate_lies_between_those_of_the_widths_that_were_measured():
    assert MACHINE.rate("conv", "fp32", 8) == 1e9
    assert MACHINE.rate("conv", "fp32", 64) == pytest.approx(2e9)
    assert MACHINE.rate("conv", "fp32", 512) == 4e9
    assert MACHINE.rate("conv", "bf16", 99) == 8e9


@pytest.fixture(scope="module")
def made():
    def optimizer(model):
        return torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)

    return trace(NETWORKS["residual"](), optimizer, (3, 32, 32), 8)


def test_micro_batches_repeat_everything_but_the_update(made):
    flat = replace(MACHINE, rates={f"{kind}/fp32": ((1, 1e9),) for kind in kinds(made)})
    one, four = (seconds_of(made, flat, accumulate) for accumulate in (1, 4))
    update = sum(time_of(each, flat)[0] for each in made.step if each.phase == "update")
    assert four.step == pytest.approx(4 * one.step - 3 * update)
    layers = by_owner(made.step, flat)
    assert sum(seconds for seconds, _ in layers.values()) == pytest.approx(one.step)


def kinds(made):
    return {each.kind for each in (*made.step, *made.inference) if each.flops}


def test_the_parts_of_the_memory_cover_its_peak(made):
    memory = memory_of(made, MACHINE, average=True, data=500)
    parts = memory.weights + memory.gradients + memory.optimizer + memory.activations
    parts += memory.temporary + memory.average + memory.data + memory.runtime
    assert memory.training <= 1.0001 * parts  # not all of them are held at once
    assert memory.training == pytest.approx(parts) or memory.temporary == 0
    assert memory.average == memory.weights
    assert memory.training == pytest.approx(1.5 * made.heap + 1000 + 500 + memory.average, abs=2)
    under_a_limit = memory_of(made, MACHINE, average=False, data=0, held=True)
    assert under_a_limit.training == made.training_peak + 1000
    on_a_gpu = memory_of(made, replace(MACHINE, growth=None, runtime=0), average=False, data=0)
    assert on_a_gpu.training == made.training_peak


@pytest.mark.parametrize("name", DEVICES)
def test_a_published_device_is_never_faster_than_published(name):
    device = DEVICES[name]
    machine = published(device)
    for precision, peak in device.flops.items():
        assert machine.rate("conv", precision, 64) < peak
    assert machine.stream("norm") < device.bandwidth
    assert find_device(name.upper().replace("-", " ")) is device
