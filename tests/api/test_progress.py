"""What a person sees while something long goes on."""

import sys
import time

import pytest

from convsmith.api.progress import Lines, Outlook, Pace, ticking
from convsmith.training.fit import EpochEnd


def test_lines_come_at_once_and_then_every_ten_seconds(capsys, monkeypatch):
    clock = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    with ticking("lines") as say:
        for second in range(25):
            clock[0] = 100.0 + second
            say(f"second {second}")
    assert capsys.readouterr().err.splitlines() == ["second 0", "second 11", "second 22"]


def test_on_a_terminal_one_line_changes_and_is_gone_at_the_end(capsys):
    with ticking("bars") as say:
        say("one")
        say("x" * 500)
    shown = capsys.readouterr().err
    assert shown.startswith("\r\x1b[Kone\r\x1b[Kxxx")
    assert shown.endswith("\r\x1b[K")
    assert "\n" not in shown
    assert max(map(len, shown.split("\r\x1b[K"))) < 500


def test_nothing_is_nothing(capsys):
    with ticking("none") as say:
        say("one")
    assert capsys.readouterr().err == ""


def test_the_line_is_cleared_even_when_it_fails(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)

    def fail():
        with ticking("auto") as say:
            say("one")
            raise ValueError("ours")

    with pytest.raises(ValueError, match="ours"):
        fail()
    assert capsys.readouterr().err.endswith("\r\x1b[K")


def test_in_a_pipe_a_long_epoch_says_at_least_a_line_a_minute(capsys, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    lines = Lines()
    lines.begin(Outlook(epochs=2, steps_per_epoch=1500, total_steps=3000, steps_done=0))
    for step in range(50, 550, 50):
        clock[0] += 20
        lines.pace(1, Pace(step, 1.5, 0.25, 310.4, 2**30, 2**31))
    clock[0] += 30  # a finished epoch is a line too, and the minute counts from there
    lines.epoch(EpochEnd(1, 1500, 1.25, 0.5, 0.1), "", 200)
    clock[0] += 40
    lines.pace(2, Pace(50, 1.5, 0.25, 310.4, 2**30, 2**31))
    assert capsys.readouterr().err.splitlines() == [
        f"epoch 1/2  step {step}/1,500  loss 1.5000  top-1 25.00%  310 images/s  "
        "1.00 GiB (most 2.00)"
        for step in (150, 300, 450)
    ] + ["epoch 1/2  train loss 1.2500  top-1 50.00%  3 min 20 s left"]
