"""What is measured: accuracy against the original, intervals over the same images, times."""

import time

import numpy
import pytest
import torch

from convsmith import processor
from convsmith.compression.measure import Judged, judge, paired_interval, time_all
from convsmith.processor import int8_support


def test_ranks_are_those_of_sorting():
    draw = numpy.random.default_rng(0)
    logits, labels = draw.normal(size=(200, 12)), draw.integers(0, 12, 200)
    judged = Judged.of(logits, labels)
    best = torch.from_numpy(logits).topk(5).indices.numpy()
    assert (judged.right == (best[:, 0] == labels)).all()
    assert (judged.in_five == (best == labels[:, None]).any(1)).all()


def test_a_logit_that_is_no_number_is_never_right():
    logits = numpy.array([[numpy.nan, 1.0, 0.0], [3.0, 1.0, 0.0]])
    judged = Judged.of(logits, numpy.array([1, 0]))
    assert judged.right.tolist() == [False, True]
    assert judged.in_five.tolist() == [False, True]


def test_a_variant_is_compared_image_by_image():
    labels = numpy.zeros(4, int)
    original = Judged.of(numpy.array([[1.0, 0], [1, 0], [1, 0], [0, 1]]), labels)
    variant = Judged.of(numpy.array([[1.0, 0], [0, 1], [1, 0], [0, 1]]), labels)
    found = judge(variant, original)
    assert (found.top1, found.drop, found.agreement, found.images) == (0.5, 0.25, 0.75, 4)
    same = judge(original, original)
    assert (same.drop, same.interval, same.agreement) == (0, (0, 0), 1)


def test_the_interval_is_that_of_resampling_images():
    draw = numpy.random.default_rng(1)
    first = draw.random(2000) < 0.93
    second = numpy.where(draw.random(2000) < 0.02, ~first, first)
    low, high = paired_interval(first, second)
    chosen = draw.integers(0, 2000, (4000, 2000))
    differences = first[chosen].mean(1) - second[chosen].mean(1)
    expected = numpy.quantile(differences, [0.025, 0.975])
    assert (low, high) == pytest.approx(tuple(expected), abs=8e-4)
    assert low < first.mean() - second.mean() < high


def test_pairing_makes_the_interval_narrow():
    draw = numpy.random.default_rng(2)
    first = draw.random(5000) < 0.9
    second = first.copy()
    second[:10] = ~second[:10]
    low, high = paired_interval(first, second)
    assert high - low < 0.004
    other = draw.random(5000) < 0.9
    low, high = paired_interval(first, other)
    assert high - low > 0.015


def test_runners_take_turns_and_their_order_of_speed_is_found():
    calls = []

    def sleeper(name, seconds):
        def run(images):
            calls.append((name, len(images)))
            time.sleep(seconds * len(images))
            return images

        return run

    runners = {"slow": sleeper("slow", 40e-3), "fast": sleeper("fast", 5e-3)}
    found = time_all(runners, numpy.zeros(4), [1, 4], rounds=2, seconds=0.01)
    assert found["slow"][1] > 2 * found["fast"][1]
    assert found["slow"][4] > 2 * found["slow"][1]
    first = [name for name, count in calls if count == 1]
    turns = [name for name, before in zip(first[2:], first[1:-1], strict=True) if name != before]
    assert turns == ["slow", "fast", "slow", "fast"]


@pytest.mark.parametrize(
    ("flags", "found"),
    [
        ("sse4_2 avx2 avx512f avx512_vnni", ("AVX-512 VNNI",)),
        ("avx2 avx_vnni", ("AVX VNNI",)),
        ("avx512_vnni amx_tile amx_int8 amx_bf16", ("AVX-512 VNNI", "AMX INT8")),
        ("sse4_2 avx2", ()),
    ],
)
def test_the_processors_integers_are_read_from_its_flags(monkeypatch, flags, found):
    monkeypatch.setattr(processor, "cpuinfo", lambda: f"model name\t: X\nflags\t\t: {flags}\n")
    assert int8_support() == found
