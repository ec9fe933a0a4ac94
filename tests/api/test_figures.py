"""What a run keeps to look at agrees with its results."""

import json

import numpy
import pytest
from PIL import Image

import convsmith


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A training short enough to leave mistakes."""
    runs = tmp_path_factory.mktemp("runs")
    return convsmith.train("digits", epochs=2, runs=runs, progress="none")


def test_the_confusion_matrix_is_that_of_the_results(run):
    found = json.loads((run.path / "confusion.json").read_text())
    matrix = numpy.array(found["matrix"])
    assert found["classes"] == [str(n) for n in range(10)]
    assert matrix.sum() == run.results.test.images
    assert matrix.trace() / matrix.sum() == pytest.approx(run.results.test.top1)
    accuracies = matrix.diagonal() / matrix.sum(1)
    assert accuracies.min() == pytest.approx(run.results.per_class.min)


def test_mistakes_are_those_that_predicting_makes_the_surest_first(run):
    mistakes = json.loads((run.path / "mistakes.json").read_text())["mistakes"]
    wrong = round((1 - run.results.test.top1) * run.results.test.images)
    assert len(mistakes) == min(wrong, 24) > 0
    chances = [mistake["probability"] for mistake in mistakes]
    assert chances == sorted(chances, reverse=True)
    model = convsmith.load(run.path)
    for mistake in mistakes:
        assert mistake["label"] != mistake["guess"]
        with Image.open(run.path / mistake["image"]) as image:
            assert image.size == (96, 96)
            seen = model.predict(image.convert("L").resize((8, 8), Image.Resampling.NEAREST))
        assert seen.label == mistake["guess"]
        assert seen.guesses[0].probability == pytest.approx(mistake["probability"], abs=1e-3)


def test_samples_are_shown_and_points_have_no_pictures(run, tmp_path):
    for name in ("samples.png", "augmented.png"):
        with Image.open(run.path / "figures" / name) as image:
            assert image.width > 8 * 100
    points = convsmith.train("moons", epochs=1, runs=tmp_path, progress="none")
    assert not (points.path / "figures").exists()
    mistakes = json.loads((points.path / "mistakes.json").read_text())["mistakes"]
    assert mistakes[0]["image"] is None
    assert "is damaged" not in (points.path / "report.html").read_text()
