"""The command ``convsmith-runtime``."""

import json
import sys

import pytest
from tests.runtime.builders import CLASSES, contents, manifest, pack, picture

from convsmith_runtime.cli import main


@pytest.fixture
def bundle(tmp_path):
    (tmp_path / "a.png").write_bytes(picture(0)[1])
    (tmp_path / "broken.png").write_bytes(b"no")
    return str(pack(tmp_path / "tiny.convsmith", contents()))


@pytest.fixture
def call(capsys):
    def run(*words):
        with pytest.raises(SystemExit) as exit:
            main(list(map(str, words)))
        return exit.value.code, *capsys.readouterr()

    return run


def test_predict_prints_the_guesses(call, bundle, tmp_path):
    code, out, err = call("predict", bundle, tmp_path / "a.png", "--top", 2)
    lines = out.splitlines()
    assert (code, err) == (0, "")
    assert lines[0] == str(tmp_path / "a.png")
    assert len(lines) == 3
    assert lines[1].endswith("%")


def test_images_that_cannot_be_read_are_listed_and_the_others_predicted(call, bundle, tmp_path):
    code, out, err = call("predict", bundle, tmp_path / "broken.png", tmp_path / "a.png", "--json")
    found = json.loads(out)
    assert code == 1
    assert [each["image"] for each in found["predictions"]] == [str(tmp_path / "a.png")]
    assert len(found["problems"]) == 1
    assert err == f"convsmith-runtime: {found['problems'][0]}\n"


def test_check_replays_the_golden_samples(call, bundle, tmp_path):
    code, out, err = call("check", bundle)
    assert (code, err) == (0, "")
    assert out.startswith("2 golden samples replayed")
    files = contents() | {"golden/000.png": picture(9)[1]}
    code, out, err = call("check", pack(tmp_path / "other", files), "--json")
    assert code == 1
    assert json.loads(out)["problems"]
    assert "golden/000.png: a logit differs" in err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["check", "gone.convsmith"], "gone.convsmith is not there"),
        (["predict", "gone.convsmith", "x.png"], "gone.convsmith is not there"),
        (["predict", "gone.convsmith", "x.png", "--top", "0"], "must be 1 or more"),
        (["fly"], "invalid choice"),
        ([], "required"),
    ],
)
def test_mistakes_are_one_line_and_exit_2(call, words, said):
    code, out, err = call(*words)
    assert (code, out) == (2, "")
    assert said in err.splitlines()[-1]


def test_a_strangers_words_do_not_steer_the_terminal(call, bundle, tmp_path):
    files = contents()
    classes = ["\x1b[31mred\n", "half \ud800", *CLASSES[2:]]
    pack(tmp_path / "bad.convsmith", files, manifest(files, classes=classes))
    code, out, err = call("predict", tmp_path / "bad.convsmith", tmp_path / "a.png")
    assert (code, err) == (0, "")
    assert "  \\x1b[31mred\\n " in out
    assert "half \\ud800" in out
    assert len(out.splitlines()) == 1 + len(CLASSES)


def test_a_library_that_is_not_there_is_named(call, bundle, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    code, out, err = call("predict", bundle, tmp_path / "a.png")
    assert (code, out) == (2, "")
    assert "onnxruntime is not installed: pip install convsmith-runtime" in err
