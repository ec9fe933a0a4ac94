"""Files of a run that went missing or were altered: said in a line, and mended if possible."""

import json
import resource
import shutil
import signal
import subprocess
import sys

import pytest

import convsmith
from convsmith.cli.main import main
from convsmith.errors import CheckpointError, DamagedError, RunError


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A finished run."""
    runs = tmp_path_factory.mktemp("whole")
    return convsmith.train("digits", epochs=2, name="run", runs=runs, progress="none").path


@pytest.fixture
def run(whole, tmp_path):
    """A copy of it to damage."""
    return shutil.copytree(whole, tmp_path / "run")


def remove(path):
    path.unlink()


def cut(path):
    path.write_bytes(path.read_bytes()[:-20])


def garble(path):
    path.write_bytes(b"\x00\xff not what it was")


def flip(path):
    content = bytearray(path.read_bytes())
    content[-9] ^= 4  # a weight, a digit of a number, a letter of a name
    path.write_bytes(content)


def empty_object(path):
    path.write_text("{}")


def folder(path):
    path.unlink()
    path.mkdir()


def test_a_flipped_bit_is_never_used(run):
    flip(run / "weights.safetensors")
    for use in (convsmith.load, convsmith.evaluate):
        with pytest.raises(DamagedError, match=r"weights\.safetensors does not match its checksum"):
            use(run)


def test_metrics_that_were_cut_are_not_filled_up(whole, run):
    lines = (run / "metrics.jsonl").read_bytes().splitlines(keepends=True)
    (run / "metrics.jsonl").write_bytes(lines[0] + lines[1][:9])
    (run / "results.json").unlink()
    assert convsmith.train(resume=run, progress="none").metrics == [json.loads(lines[0])]
    (run / "metrics.jsonl").write_bytes(b"\0\0\n")
    with pytest.raises(DamagedError, match=r"metrics\.jsonl:1 is not as convsmith wrote it"):
        _ = convsmith.open_run(run).metrics


MENDABLE = ["weights.safetensors", "model.json", "SHA256SUMS", "results.json"]
DAMAGES = [remove, cut, garble, empty_object]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
@pytest.mark.parametrize("name", MENDABLE)
def test_what_the_end_wrote_is_made_again_from_the_checkpoint(whole, run, capsys, name, damage):
    damage(run / name)
    resumed = convsmith.train(resume=run, progress="lines")
    assert resumed.results.test == convsmith.open_run(whole).results.test
    for file in ("weights.safetensors", "model.json"):
        assert (run / file).read_bytes() == (whole / file).read_bytes()
    err = capsys.readouterr().err
    if not (name == "results.json" and damage is remove):  # then it looks like never finished
        assert err.startswith("making again what is damaged: ")
        assert name == "SHA256SUMS" or str(run / name) in err  # it damages those that it is for
    assert "train loss" not in err  # nothing was trained


@pytest.mark.parametrize("damage", [*DAMAGES, folder], ids=lambda damage: damage.__name__)
@pytest.mark.parametrize("name", ["weights.safetensors", "model.json"])
def test_a_run_that_cannot_be_used_says_which_file_and_how_to_mend_it(run, capsys, name, damage):
    damage(run / name)
    with pytest.raises(SystemExit) as exit:
        main(["predict", str(run), "seven.png"])
    err = capsys.readouterr().err
    assert exit.value.code == 1
    assert err.count("\n") == 1
    assert str(run / name) in err
    assert f"convsmith train --resume {run}" in err
    assert "Error(" not in err


def test_the_environment_cannot_be_made_again_and_says_so(run):
    for damage in DAMAGES:
        (run / "environment.json").write_text("{}")
        damage(run / "environment.json")
        with pytest.raises(DamagedError, match=r"environment\.json") as error:
            convsmith.evaluate(run)
        assert "--resume" not in str(error.value)


def test_an_unfinished_run_says_how_to_go_on(run):
    for name in MENDABLE:
        (run / name).unlink()
    for use in (convsmith.load, convsmith.evaluate):
        with pytest.raises(RunError, match=r"has not finished; to go on: convsmith train --resume"):
            use(run)


def test_without_checkpoints_nothing_is_trained_anew_in_silence(run):
    shutil.rmtree(run / "checkpoints")
    (run / "results.json").unlink()
    metrics = (run / "metrics.jsonl").read_bytes()
    with pytest.raises(CheckpointError, match="there is no checkpoint any more; to train anew"):
        convsmith.train(resume=run, progress="none")
    assert (run / "metrics.jsonl").read_bytes() == metrics


def limited():
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, 500_000))


@pytest.mark.skipif(sys.platform == "win32", reason="no file size limits on Windows")
def test_a_full_disk_says_how_to_go_on_and_going_on_ends_the_same(whole, tmp_path):
    words = ["train", "digits", "--epochs", "2", "--name", "run", "--runs", str(tmp_path)]
    command = [sys.executable, "-m", "convsmith", *words]
    done = subprocess.run(
        command, preexec_fn=limited, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.endswith(f"once that is mended: convsmith train --resume {tmp_path / 'run'}")
    resumed = convsmith.train(resume=tmp_path / "run", progress="none")
    assert (resumed.path / "weights.safetensors").read_bytes() == (
        whole / "weights.safetensors"
    ).read_bytes()
    assert json.loads((resumed.path / "results.json").read_text())["epochs"] == 2
