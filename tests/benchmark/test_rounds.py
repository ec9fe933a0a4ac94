"""Turns, with workers whose times are known."""

import sys
import time

import pytest

from convsmith.benchmark.rounds import Worker, ended, take_turns, timed

# A worker that notes when it was asked, sleeps as long as an image is said to take, and may die.
SLEEPER = """
import sys, time
from convsmith.benchmark.worker import obey
from convsmith.errors import UserError

def make(spec):
    print("a library talks on standard output")
    if "refuse" in spec:
        raise UserError("there is none")
    if "break" in spec:
        raise ValueError("broken\\nin two lines")
    def run(images):
        if len(images) >= spec.get("dies", 1000):
            sys.exit(3)
        if len(images) >= spec.get("raises", 1000):
            raise MemoryError("no room")
        with open(spec["log"], "a") as log:
            log.write(f"{spec['name']} {len(images)}\\n")
        time.sleep(spec["seconds"] * len(images))
    return run

obey(make)
"""


def sleeper(tmp_path, name, seconds=0.001, **more):
    spec = {"name": name, "seconds": seconds, "log": str(tmp_path / "log"), "libraries": []}
    spec |= {"image": (1, 2, 2), "batches": [1, 8], **more}
    return Worker([sys.executable, "-c", SLEEPER], spec)


def test_all_take_their_turn_in_every_round_and_times_are_theirs(tmp_path):
    workers = {"slow": sleeper(tmp_path, "slow", 0.004), "fast": sleeper(tmp_path, "fast", 0.001)}
    said = []
    take_turns(workers, (1, 8), rounds=2, seconds=0.01, say=said.append)
    slow, fast = (workers[name].result() for name in ("slow", "fast"))
    for found, seconds in ((slow, 0.004), (fast, 0.001)):
        assert [each.batch for each in found] == [1, 8]
        for each in found:
            assert seconds * each.batch <= each.p50 < 2 * seconds * each.batch + 0.004
            assert each.p50 <= each.p95 <= each.p99
            assert each.calls >= 6
            assert each.images_per_second == pytest.approx(each.batch / each.p50)
    lines = (tmp_path / "log").read_text().splitlines()[2:]  # less the first calls
    turns = [line for line, before in zip(lines, ["", *lines], strict=False) if line != before]
    assert turns == ["slow 1", "fast 1", "slow 8", "fast 8"] * 2
    assert said[-1] == "round 2 of 2"
    assert workers["slow"].memory is not None


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"refuse": True}, "there is none"),
        ({"break": True}, "ValueError: broken"),
        ({"dies": 8}, "ended with status 3"),
        ({"batches": [1, 8, 2**58]}, "MemoryError"),
        ({"raises": 8}, "MemoryError: no room"),
    ],
)
def test_one_that_fails_is_left_out_and_says_why(tmp_path, more, words):
    workers = {"bad": sleeper(tmp_path, "bad", **more), "good": sleeper(tmp_path, "good")}
    take_turns(workers, (1, 8), rounds=2, seconds=0.002, say=lambda text: None)
    assert words in workers["bad"].failed
    assert len(workers["bad"].result()) == (not {"dies", "raises"}.isdisjoint(more))
    assert workers["good"].failed is None
    assert len(workers["good"].result()) == 2


def test_a_process_that_was_killed_may_have_lacked_memory():
    assert "memory" in ended(-9)
    assert ended(1) == "its process ended with status 1"


def test_no_process_is_left_behind(tmp_path):
    workers = {"one": sleeper(tmp_path, "one"), "two": sleeper(tmp_path, "two")}
    with pytest.raises(KeyboardInterrupt):
        take_turns(workers, (1,), rounds=1, seconds=0.1, say=raise_in_round)
    until = time.monotonic() + 5
    while any(each._process.poll() is None for each in workers.values()):
        assert time.monotonic() < until


def test_one_that_is_interrupted_while_it_loads_is_not_left_behind(tmp_path, monkeypatch):
    def interrupted(self, order):
        raise KeyboardInterrupt

    monkeypatch.setattr(Worker, "_ask", interrupted)
    worker = sleeper(tmp_path, "one")
    with pytest.raises(KeyboardInterrupt):
        take_turns({"one": worker}, (1,), rounds=1, seconds=0.1, say=lambda text: None)
    assert worker._process.poll() is not None


def raise_in_round(text):
    if text.startswith("round"):
        raise KeyboardInterrupt


def test_percentiles_are_those_of_all_calls():
    found = timed(4, [k / 1000 for k in range(1, 101)], [0.5, 0.1, 0.3])
    assert (found.calls, found.p50) == (100, pytest.approx(0.0505))
    assert found.p95 == pytest.approx(0.09505)
    assert found.p99 == pytest.approx(0.09901)
    assert found.joules_per_image == 0.3
