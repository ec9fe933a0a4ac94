"""Micro-batches: together what waits, never late, and nothing lost at the end."""

import threading
import time
from concurrent.futures import Future

import numpy
import pytest

from convsmith_runtime.http.batching import Batches
from convsmith_runtime.http.limits import Refused

PIXELS = numpy.zeros((1, 2, 2), numpy.uint8)


class Network:
    """Answers with the sum of an image's pixels; can be held."""

    def __init__(self):
        self.sizes = []
        self.free = threading.Event()
        self.free.set()

    def __call__(self, pixels):
        self.sizes.append(len(pixels))
        self.free.wait(10)
        sums = pixels.reshape(len(pixels), -1).sum(1, dtype=numpy.float32)
        return sums[:, None], None


def deliver(answers):
    for asker, outcome in answers:
        if isinstance(outcome, Exception):
            asker.set_exception(outcome)
        else:
            asker.set_result(outcome)


def put(batches, value=0, seconds=10):
    answer = Future()
    batches.put(numpy.full_like(PIXELS, value), answer, time.monotonic() + seconds)
    return answer


@pytest.fixture
def network():
    return Network()


def test_what_waits_is_looked_at_together_and_each_gets_its_own(network):
    batches = Batches(network, deliver, 4, 0.01)
    network.free.clear()
    batches.announce(10)
    answers = [put(batches, value) for value in range(10)]
    network.free.set()
    assert [answer.result(5).logits.item() for answer in answers] == [4 * n for n in range(10)]
    assert max(network.sizes) == 4
    assert sum(network.sizes) == 10
    assert len(network.sizes) <= 4
    batches.close()


def test_a_lone_image_waits_for_nobody(network):
    batches = Batches(network, deliver, 32, 5.0)
    batches.announce(1)
    began = time.monotonic()
    put(batches).result(4)
    assert time.monotonic() - began < 1
    batches.close()


def test_an_image_waits_for_those_that_are_being_read_but_not_for_ever(network):
    batches = Batches(network, deliver, 32, 0.2)
    batches.announce(3)
    began = time.monotonic()
    first = put(batches)
    time.sleep(0.05)
    second = put(batches)
    first.result(4)
    second.result(4)
    assert 0.15 < time.monotonic() - began < 2
    assert network.sizes == [2]
    batches.close()


def test_an_image_that_cannot_be_read_is_waited_for_no_longer(network):
    batches = Batches(network, deliver, 32, 5.0)
    batches.announce(2)
    began = time.monotonic()
    answer = put(batches)
    batches.withdraw()
    answer.result(4)
    assert time.monotonic() - began < 1
    batches.close()


def test_what_is_too_late_is_refused_and_not_looked_at(network):
    batches = Batches(network, deliver, 2, 0.01)
    network.free.clear()
    batches.announce(2)
    first = put(batches)
    time.sleep(0.1)
    late = put(batches, seconds=0.01)
    time.sleep(0.1)
    network.free.set()
    first.result(5)
    with pytest.raises(Refused) as refused:
        late.result(5)
    assert refused.value.status == 429
    assert sum(network.sizes) == 1
    batches.close()


def test_an_error_goes_to_those_who_asked_and_the_next_are_answered():
    calls = []

    def network(pixels):
        calls.append(len(pixels))
        if len(calls) == 1:
            raise RuntimeError("no memory")
        return numpy.zeros((len(pixels), 1), numpy.float32), None

    batches = Batches(network, deliver, 4, 0.0)
    batches.announce(1)
    with pytest.raises(RuntimeError, match="no memory"):
        put(batches).result(5)
    batches.announce(1)
    assert put(batches).result(5).logits.shape == (1,)
    assert batches.alive
    batches.close()


def test_closing_answers_what_was_put(network):
    batches = Batches(network, deliver, 2, 60.0)
    network.free.clear()
    batches.announce(7)
    answers = [put(batches) for _ in range(5)]
    threading.Timer(0.1, network.free.set).start()
    batches.close()
    assert all(answer.done() for answer in answers)
    assert not batches.alive
