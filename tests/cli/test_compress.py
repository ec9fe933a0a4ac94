"""``convsmith compress``: what a person and a program read of it, and one line for a mistake."""

import json
from functools import partial

import pytest

import convsmith
from convsmith.api import compress as api
from convsmith.cli.main import main
from convsmith.compression.measure import time_all


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    runs = tmp_path_factory.mktemp("runs")
    return convsmith.train("digits", epochs=3, runs=runs, progress="none").path


def call(capsys, *words):
    """Run a command in this process; return its status, output and errors."""
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    printed = capsys.readouterr()
    return ended.value.code or 0, printed.out, printed.err


def test_it_can_be_read_and_parsed(capsys, run, monkeypatch):
    monkeypatch.setattr(api, "time_all", partial(time_all, rounds=1, seconds=0.002))
    words = ("compress", run, "--kind", "static", "--calibration", "64", "--batch", "4")
    code, text, told = call(capsys, *words, "--sensitivity", "--bound", "5")
    assert code == 0
    assert "making static" in told
    for said in ("original", "static", "lost in test", "one image", "layer alone as integers"):
        assert said in text, said
    assert max(map(len, text.split("\n\n")[1].splitlines())) <= 100
    assert "BatchNorm folded into 4 layers" in text
    code, out, _ = call(capsys, *words, "--json")
    assert code == 0
    found = json.loads(out.splitlines()[-1])
    assert [each["name"] for each in found["variants"]] == ["original", "static"]
    assert set(found["variants"][1]["throughput"]) == {"1", "4", "32"}
    assert found["part"] == "validation part"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--kind", "statc"], "did you mean `static`"),
        (["--keep-float", "auto", "--keep-float", "head"], "auto stands alone"),
        (["--keep-float", "haed"], "no layer called 'haed' (did you mean `head`?)"),
        (["--bound", "100"], "--bound: must be from 0 to below 100 percentage points, got 100"),
        (["--bound", "nan"], "percentage points, got nan"),
        (["--kind", "qat", "--epochs", "nan"], "epochs must be more than 0, got nan"),
        (["--kind", "qat", "--epochs", "inf"], "got inf"),
        (["--kind", "qat", "--lr", "-1"], "learning_rate must be more than 0, got -1"),
        (["--calibration", "0"], "not in the range"),
    ],
)
def test_a_mistake_is_a_line(capsys, run, words, said):
    code, _, told = call(capsys, "compress", run, *words)
    assert code == 2
    assert said in told
    assert "calibrating" not in told  # nothing long was begun
    assert "Traceback" not in told


def test_a_run_that_is_not_there_is_a_line(capsys, tmp_path):
    code, _, told = call(capsys, "compress", "nothing", "--runs", tmp_path)
    assert (code, told.count("\n")) == (2, 1)
