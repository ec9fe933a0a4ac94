"""``convsmith bench``: the table, the recommendation, JSON and mistakes."""

import json

import pytest

import convsmith
from convsmith.cli.main import main


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    runs = tmp_path_factory.mktemp("runs")
    return convsmith.train("digits", epochs=1, runs=runs, progress="none")


def call(capsys, *words):
    """Run a command in this process; return its status, output and errors."""
    with pytest.raises(SystemExit) as ended:
        main(["bench", *map(str, words)])
    printed = capsys.readouterr()
    return ended.value.code or 0, printed.out, printed.err


def test_it_can_be_read_and_parsed(run, tmp_path, capsys):
    words = [run.path, "--engine", "eager", "--engine", "onnxruntime", "--batch", 1, "--batch", 4]
    words += ["--threads", 1, "--rounds", 1, "--seconds", 0.01, "--out", tmp_path / "out", "--json"]
    code, out, err = call(capsys, *words)
    assert code == 0
    found = json.loads(out)
    assert [each["engine"] for each in found["configurations"]] == ["eager", "onnxruntime"]
    assert "round 1 of 1" in err
    code, out, _ = call(capsys, *words[:-1])
    assert code == 0
    for part in (
        "one image: p50",
        "\neager  ",
        "; 1 thread; 1 round in turns",
        "most images",
        "bench.csv",
    ):
        assert part in out
    assert max(map(len, out.split("\n\n")[1].splitlines())) <= 100
    last = out.rstrip().splitlines()[-1]
    assert last.startswith("use digits-1: onnxruntime fuse, 1 thread for answers at once (")
    assert (tmp_path / "out" / "bench.svg").exists()


def test_a_mistake_is_one_line(run, tmp_path, capsys):
    for words, said in (
        ((run.path, "--engine", "onx"), "no engine is called 'onx'"),
        ((run.path, "--batch", 0), "at least 1"),
        ((tmp_path / "none",), "no run"),
        ((), "missing argument"),
    ):
        code, out, err = call(capsys, *words)
        assert code == 2, err
        assert out == ""
        assert said in err.lower() if said == "missing argument" else said in err
        assert "Traceback" not in err
