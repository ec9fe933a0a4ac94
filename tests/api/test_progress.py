"""What a person sees while something long goes on."""

import sys
import time

import pytest

from convsmith.api.progress import ticking


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
