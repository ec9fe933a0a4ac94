"""Predicting files and folders, and listing what cannot be read."""

import csv
import io
import json
import os
import shutil
from pathlib import Path

import numpy
import pytest
import torch
from PIL import Image

import convsmith
from convsmith.api.predict import files_of, predict, write_csv
from convsmith.cli.main import main
from convsmith.data import load_source
from convsmith.errors import DataError


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A short training on digits."""
    runs = tmp_path_factory.mktemp("runs")
    return convsmith.train("digits", epochs=3, runs=runs, progress="none").path


@pytest.fixture
def folder(tmp_path):
    """Seventy digits as files, some below, with three files that are none."""
    pixels, labels = load_source("digits", None).test.take(torch.arange(70))
    (tmp_path / "in" / "below").mkdir(parents=True)
    for number, (image, label) in enumerate(zip(pixels, labels.tolist(), strict=True)):
        place = tmp_path / "in" / ("below" if number % 2 else "")
        Image.fromarray(image[0].numpy()).save(place / f"{number:02d}-{label}.png")
    (tmp_path / "in" / "broken.png").write_bytes(b"no")
    (tmp_path / "in" / "notes.txt").write_text("no image by its name")
    return tmp_path / "in"


def test_every_image_of_a_folder_is_predicted_as_it_would_be_alone(run, folder):
    found = predict(run, [folder])
    assert len(found.predictions) == 70
    right = sum(p.label == p.image[-5] for p in found.predictions)
    assert right > 50
    model = convsmith.load(run)
    for prediction in found.predictions[::10]:
        alone = model.predict(prediction.image)
        assert alone.label == prediction.label
        assert alone.guesses[0].probability == pytest.approx(prediction.guesses[0].probability)


def test_what_cannot_be_read_is_listed_and_the_rest_predicted(run, folder, tmp_path):
    (tmp_path / "empty").mkdir()
    good = next(iter(sorted(folder.glob("*-*.png"))))
    found = predict(run, [folder / "gone.png", good, folder / "broken.png", tmp_path / "empty"])
    assert [p.image for p in found.predictions] == [str(good)]
    assert [(p.path, p.reason) for p in found.problems] == [
        (str(folder / "gone.png"), "is not there"),
        (str(folder / "broken.png"), "is not an image that can be read"),
        (str(tmp_path / "empty"), "is a folder with no image in it"),
    ]


def test_what_is_hidden_or_nothing_is_not_predicted(run, folder):
    before = len(predict(run, [folder]).predictions)
    (folder / ".hidden").mkdir()
    for name in ("._1.png", ".hidden/1.png"):
        (folder / name).write_bytes(next(folder.glob("*-*.png")).read_bytes())
    found = predict(run, [folder, ""])
    assert len(found.predictions) == before
    assert str(found.problems[-1]) == "'': is no name of a file"


def test_links_in_a_folder_are_followed_as_in_training_and_never_in_circles(tmp_path):
    for name in ("in/a.png", "in/b.png", "elsewhere/c.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("L", (8, 8)).save(tmp_path / name)
    (tmp_path / "in" / "link").symlink_to("../elsewhere")
    (tmp_path / "in" / "round").symlink_to("..")
    (tmp_path / "in" / "lost.png").symlink_to("nowhere")
    problems = []
    found = [str(Path(p).relative_to(tmp_path)) for p in files_of([tmp_path / "in"], problems)]
    assert found == ["in/a.png", "in/b.png", "in/link/c.png", "in/round/elsewhere/c.png"]
    assert {str(each).removeprefix(f"{tmp_path}/") for each in problems} == {
        "in/round/in: is a link that leads round in a circle",
        "in/lost.png: is a link that leads nowhere",
    }


def test_no_image_at_all_is_a_mistake(run):
    with pytest.raises(DataError, match="no image was given"):
        predict(run, [])


def test_nothing_to_predict_is_a_mistake(run, folder):
    with pytest.raises(DataError, match="is not there"):
        predict(run, [folder / "gone.png"])


def test_a_table_has_a_row_for_every_image(run, folder):
    found = predict(run, [folder])
    file = io.StringIO()
    write_csv(found, file)
    rows = list(csv.DictReader(io.StringIO(file.getvalue())))
    assert len(rows) == 71
    assert rows[0]["label"] == found.predictions[0].label
    assert float(rows[0]["probability"]) == pytest.approx(
        found.predictions[0].guesses[0].probability, abs=1e-6
    )
    assert rows[-1]["problem"] == "is not an image that can be read"


def test_the_command_writes_tables_and_lists_what_failed(run, folder, tmp_path, capsys):
    def call(*words):
        with pytest.raises(SystemExit) as exit:
            main([str(word) for word in words])
        return exit.value.code, capsys.readouterr()

    status, output = call("predict", run, folder, "--csv", tmp_path / "out.csv")
    assert status == 1
    assert output.out == f"70 images: {tmp_path / 'out.csv'}\n"
    assert output.err == f"convsmith: {folder / 'broken.png'}: is not an image that can be read\n"
    assert len((tmp_path / "out.csv").read_text().splitlines()) == 72
    (folder / "broken.png").unlink()
    status, output = call("predict", run, folder, "--json")
    assert status == 0
    assert len(json.loads(output.out)["predictions"]) == 70
    status, output = call("predict", run, folder, "--json", "--csv", tmp_path / "both.csv")
    assert len(json.loads(output.out.splitlines()[-1])["predictions"]) == 70
    assert len((tmp_path / "both.csv").read_text().splitlines()) == 71
    status, output = call("predict", run, folder, "--csv", "-")
    assert output.out.startswith("path,label,probability,problem\n")
    assert status == 0


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("gone/table.csv", "--csv: there is no folder"),
        (".", "--csv: . is no name of a file; say one, or - to print"),
        ("", "--csv: '' is no name of a file"),
    ],
)
def test_a_table_that_cannot_be_written_is_said_before_the_work(
    folder, monkeypatch, capsys, place, said
):
    monkeypatch.chdir(folder)
    with pytest.raises(SystemExit) as exit_code:
        main(["predict", "no-such-run", "1.png", "--csv", place])
    assert exit_code.value.code == 2
    assert said in capsys.readouterr().err


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such names")
def test_a_name_that_is_not_utf8_has_a_row_too(run, folder, tmp_path):
    image = tmp_path / os.fsdecode(b"caf\xe9.png")
    image.write_bytes(next(folder.rglob("*.png")).read_bytes())
    with pytest.raises(SystemExit) as exit_code:
        main(["predict", str(run), str(image), "--csv", str(tmp_path / "table.csv")])
    assert exit_code.value.code == 0
    assert "caf\\udce9.png," in (tmp_path / "table.csv").read_text()


def test_the_way_of_resizing_is_kept_with_the_model(tmp_path, monkeypatch):
    """A wide image whose middle says the class: cropping shows it, stretching would not."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    draw = numpy.random.default_rng(0)
    for label, value in (("dark", 30), ("light", 220)):
        (tmp_path / "wide" / label).mkdir(parents=True)
        for number in range(30):
            array = draw.integers(0, 256, (16, 80, 3), dtype=numpy.uint8)
            array[:, 32:48] = value + draw.integers(-20, 20, (16, 16, 3))
            Image.fromarray(array).save(tmp_path / "wide" / label / f"{number}.png")
    recipe = {
        "data": {"source": f"folder:{tmp_path / 'wide'}", "image_size": 8, "resize": "crop"},
        "model": {"name": "mlp", "widths": [16]},
        "optimizer": {"name": "adam", "learning_rate": 0.01},
        "train": {"epochs": 15, "batch_size": 16, "precision": "fp32"},
    }
    run = convsmith.train(recipe, runs=tmp_path, progress="none")
    assert convsmith.load(run.path).card.resize == "crop"
    assert run.results.test.top1 == 1
    found = predict(run.path, [tmp_path / "wide"])
    assert all(p.label in p.image for p in found.predictions)
    shutil.rmtree(tmp_path / "wide")
