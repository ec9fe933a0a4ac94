"""Seconds a step, by the wall clock and, on a stubbed GPU, by its events."""

import time

import torch

from convsmith.training.clock import StepClock


def test_on_a_processor_the_wall_clock_counts():
    clock = StepClock(torch.device("cpu"))
    for pause in (0.01, 0.03):
        clock.start()
        time.sleep(pause)
        clock.stop()
    first, second = clock.seconds()
    assert 0.01 <= first < second


class Event:
    """Remembers when the device passed it: here, in milliseconds that are counted."""

    now, waited = 0.0, 0

    def __init__(self, enable_timing):
        assert enable_timing

    def record(self):
        Event.now += 5
        self.at = Event.now

    def elapsed_time(self, end):
        return end.at - self.at

    def synchronize(self):
        Event.waited += 1


def test_on_a_gpu_events_count_and_only_reading_them_waits(monkeypatch):
    monkeypatch.setattr(torch.cuda, "Event", Event)
    clock = StepClock(torch.device("cuda"))
    for _ in range(3):
        clock.start()
        clock.stop()
    assert Event.waited == 0
    assert clock.seconds() == [0.005] * 3
    clock.start()
    clock.stop()
    assert clock.seconds() == [0.005] * 4
    assert clock.seconds() == [0.005] * 4
    assert Event.waited == 2
