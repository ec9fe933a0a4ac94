"""From a folder of image files to a trained network, by the command line alone."""

import json
import subprocess
import sys
from pathlib import Path

import numpy
import pytest
from PIL import Image

import convsmith
from convsmith.data import load_source

RECIPE = """
data: {source: "folder:digits", image_size: 8, channels: 1, validation: 0.1, augment: {crop: 1}}
model: {name: digits_cnn, dropout: 0.1}
optimizer: {name: adamw, learning_rate: 3e-3}
schedule: one_cycle
train: {epochs: 6, batch_size: 32, precision: fp32, memory_format: contiguous}
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Six hundred digits as files of four kinds, in one folder a class."""
    place = tmp_path_factory.mktemp("place")
    images = load_source("digits", None).train
    pixels, labels = images.take(slice(600))
    for number, (image, label) in enumerate(zip(pixels, labels.tolist(), strict=True)):
        folder = place / "digits" / f"digit {label}"
        folder.mkdir(parents=True, exist_ok=True)
        kind = ("png", "bmp", "webp", "tif")[number % 4]
        options = {"lossless": True} if kind == "webp" else {}
        Image.fromarray(image[0].numpy()).save(folder / f"{number}.{kind}", **options)
    (place / "my.yaml").write_text(RECIPE)
    return place


def command(place, *words):
    return subprocess.run(
        [sys.executable, "-m", "convsmith", *words],
        cwd=place,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_a_folder_trains_and_its_network_knows_the_files(place):
    done = command(place, "train", "my.yaml", "--name", "run", "--runs", "runs", "--json")
    assert done.returncode == 0, done.stderr
    assert "note: folder:digits has no test part: 120 images (20%, data.test)" in done.stderr
    results = json.loads(done.stdout.splitlines()[-1])
    assert results["test"]["images"] == 120
    assert results["test"]["top1"] > 0.9
    done = command(place, "predict", "runs/run", "digits/digit 7", "--csv", "-")
    rows = done.stdout.splitlines()[1:]
    assert len(rows) == len(list((place / "digits" / "digit 7").iterdir()))
    assert sum(",digit 7," in row for row in rows) > 0.9 * len(rows)
    done = command(place, "evaluate", "runs/run", "--json")
    assert json.loads(done.stdout.splitlines()[-1])["score"] == results["test"]
    kept = json.loads((place / "runs" / "run" / "mistakes.json").read_text())["mistakes"]
    assert kept
    for mistake in kept:  # the file says what the picture shows
        assert (place / "digits" / mistake["name"]).parent.name == mistake["label"]


def test_data_that_changed_is_not_evaluated_in_silence(place):
    done = command(place, "train", "my.yaml", "--name", "changed", "--epochs", "1")
    assert done.returncode == 0, done.stderr
    path = next((place / "digits" / "digit 5").iterdir())
    content = path.read_bytes()
    path.unlink()
    try:
        done = command(place, "evaluate", "changed")
        assert done.returncode == 2
        assert "the training images are not those that it was trained on" in done.stderr
    finally:
        path.write_bytes(content)


def test_a_run_goes_on_from_another_folder(place, monkeypatch, tmp_path):
    monkeypatch.chdir(place)
    run = convsmith.train(
        "my.yaml", data="folder:digits", epochs=1, progress="none", runs="r", name="moved"
    )
    assert run.recipe.data.source == f"folder:{place / 'digits'}"
    path = (place / "r" / "moved").rename(tmp_path / "moved")
    monkeypatch.chdir(tmp_path)
    assert convsmith.evaluate(path).score == convsmith.open_run(path).results.test
    assert Path(convsmith.report(path)).parent == path


def test_streaming_gives_the_same_weights_bit_for_bit(place, monkeypatch):
    monkeypatch.chdir(place)
    runs = [
        convsmith.train(
            "my.yaml", sets=[f"data.loading.stream={stream}"], epochs=2, progress="none", runs="r"
        )
        for stream in ("yes", "no")
    ]
    weights = [(run.path / "weights.safetensors").read_bytes() for run in runs]
    assert weights[0] == weights[1]
    assert [run.recipe.data.loading.stream for run in runs] == ["yes", "no"]


def test_short_memory_streams_and_says_so(place, monkeypatch, capsys):
    monkeypatch.chdir(place)
    sets = ["data.loading.memory_share=0"]
    run = convsmith.train("my.yaml", sets=sets, epochs=1, progress="lines", runs="r")
    assert run.recipe.data.loading.stream == "yes"
    assert "batches are read from the disk" in capsys.readouterr().err


def test_broken_files_stop_the_command_with_all_of_them_or_are_left_out(place):
    bad = place / "digits" / "digit 3" / "bad.png"
    bad.write_bytes(b"no")
    (place / "digits" / "digit 4" / "empty.jpg").touch()
    (place / "digits" / "digit 4" / "notes.txt").touch()
    try:
        done = command(place, "train", "my.yaml", "--epochs", "1")
        assert done.returncode == 2
        assert "digit 3/bad.png: is not an image that can be read" in done.stderr
        assert "digit 4/empty.jpg: is empty" in done.stderr
        assert "Traceback" not in done.stderr
        skip = ("--set", "data.on_bad_image=skip")
        done = command(place, "train", "my.yaml", "--epochs", "1", *skip)
        assert done.returncode == 0, done.stderr
        assert "2 files or folders left out" in done.stderr
        run = Path(done.stdout.rpartition("run: ")[2].strip())
        assert sorted(json.loads((place / run / "environment.json").read_text())["left_out"]) == [
            "digit 3/bad.png: is not an image that can be read",
            "digit 4/empty.jpg: is empty",
            "digit 4/notes.txt: is no image by its name, or lies in no class",
        ]
        page = (place / run / "report.html").read_text()
        assert "3 files or folders, which environment.json lists" in page
    finally:
        bad.unlink()
        (place / "digits" / "digit 4" / "empty.jpg").unlink()
        (place / "digits" / "digit 4" / "notes.txt").unlink()


def test_a_changed_folder_is_not_resumed_in_silence(place, monkeypatch):
    monkeypatch.chdir(place)
    run = convsmith.train("my.yaml", epochs=1, progress="none", runs="r", name="changed")
    (run.path / "results.json").unlink()
    extra = place / "digits" / "digit 5" / "new.png"
    Image.fromarray(numpy.zeros((8, 8), dtype=numpy.uint8)).save(extra)
    try:
        done = command(place, "train", "--resume", "r/changed")
        assert done.returncode == 2
        assert "the training images was" in done.stderr
    finally:
        extra.unlink()
