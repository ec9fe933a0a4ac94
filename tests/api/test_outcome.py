"""What the end of a training writes of its test part, and how long it takes."""

import json
import time
from dataclasses import replace

import pytest
import torch
from tests.reporting.builders import make_run

import convsmith
from convsmith.api.outcome import best_temperature, write_outcome
from convsmith.data.images import Images
from convsmith.data.normalise import Normalise
from convsmith.recipe.build import Parts
from convsmith.reporting.report import write_report
from convsmith.training.evaluate import Evaluation, rank

FIXED = ["train.precision=fp32", "train.memory_format=contiguous"]  # nothing to measure


def read(path):
    return json.loads(path.read_text())


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A training short enough to leave mistakes."""
    runs = tmp_path_factory.mktemp("runs")
    return convsmith.train("digits", epochs=2, sets=FIXED, runs=runs, progress="none")


def measured(images, classes, side, channels=3):
    """A large part and what a network might say of it."""
    labels = torch.randint(classes, (images,))
    logits = 3 * torch.randn(images, classes)
    logits[torch.arange(images), labels] += 8
    pixels = torch.randint(0, 256, (16, channels, side, side), dtype=torch.uint8)
    part = Images(pixels, labels, torch.arange(images) % 16)
    names = tuple(f"class {n}" for n in range(classes))
    normalise = Normalise((0.5,) * channels, (0.5,) * channels)
    ranks = rank(logits, labels)
    top1 = (ranks == 0).double().mean().item()
    evaluation = Evaluation(
        1.0, top1, 1.0, images, (0.5,) * classes, labels, logits.argmax(1),
        logits.softmax(1).amax(1), ranks, logits,
    )  # fmt: skip
    return Parts(names, part, part, part, normalise), evaluation


def test_scores_are_those_of_the_results(run):
    found = read(run.path / "classes.json")
    test = run.results.test
    assert found["images"] == test.images
    assert found["accuracy"]["value"] == pytest.approx(test.top1)
    assert found["top_k"][0] == pytest.approx(test.top1)
    assert found["top_k"][4] == pytest.approx(test.top5)
    assert found["mean_recall"]["value"] == pytest.approx(run.results.per_class.mean)
    for scores in found["classes"]:
        for key in ("precision", "recall", "f1"):
            assert scores[key]["low"] <= scores[key]["value"] <= scores[key]["high"]


def test_the_temperature_is_of_the_validation_part_and_predicting_uses_it(run):
    model = convsmith.load(run.path)
    found = read(run.path / "calibration.json")
    assert found["temperature"] == model.card.temperature != 1
    assert found["fitted_on"] == run.results.val.images
    before, after = found["before"], found["after"]
    assert before["log_loss"] == pytest.approx(run.results.test.loss, abs=1e-5)
    assert before["accuracy"] == after["accuracy"] == pytest.approx(run.results.test.top1)
    source = convsmith.data.load_source("digits", None)
    pixels, labels = source.test.take(slice(None))
    probabilities = model.probabilities(pixels)
    own = probabilities.gather(1, labels[:, None])
    assert -own.log().mean().item() == pytest.approx(after["log_loss"], abs=1e-4)
    assert probabilities.amax(1).mean().item() == pytest.approx(after["confidence"], abs=1e-5)


def test_the_test_part_has_no_say_in_the_temperature(run, tmp_path):
    source = convsmith.data.load_source("digits", None)
    wrong = replace(source.test, labels=(source.test.labels + 1) % 10)
    data = replace(source, test=wrong)
    other = convsmith.train(
        "digits", data=data, epochs=2, sets=FIXED, runs=tmp_path, progress="none"
    )
    assert convsmith.load(other.path).card.temperature == convsmith.load(run.path).card.temperature


def test_examples_are_the_mistakes_of_each_class_and_pair(run):
    found = read(run.path / "examples.json")
    matrix = torch.tensor(read(run.path / "confusion.json")["matrix"])
    wrong = matrix.clone().fill_diagonal_(0)
    for at, each in enumerate(found["classes"]):
        assert len(each["missed"]) == min(6, wrong[at].sum())
        assert len(each["taken"]) == min(6, wrong[:, at].sum())
        assert {mistake["label"] for mistake in each["missed"]} <= {str(at)}
        assert {mistake["guess"] for mistake in each["taken"]} <= {str(at)}
        for mistake in each["missed"] + each["taken"]:
            assert (run.path / mistake["image"]).is_file()
    counts = [wrong[int(pair["label"]), int(pair["guess"])].item() for pair in found["pairs"]]
    assert counts == sorted(counts, reverse=True)
    assert counts[0] == wrong.max()
    assert [len(pair["examples"]) for pair in found["pairs"]] == [min(6, n) for n in counts]


def test_without_a_validation_part_probabilities_stay_as_they_are(tmp_path):
    kept = {"sets": [*FIXED, "data.validation=0"], "runs": tmp_path, "progress": "none"}
    run = convsmith.train("moons", epochs=1, **kept)
    found = read(run.path / "calibration.json")
    assert (found["temperature"], found["after"], found["fitted_on"]) == (1.0, None, 0)
    assert "no validation part was kept" in found["note"]
    assert convsmith.load(run.path).card.temperature == 1.0
    assert "no validation part was kept" in (run.path / "report.html").read_text()


def test_no_temperature_is_fitted_where_none_is_best():
    _, validation = measured(100, 5, 4)
    certain = torch.nn.functional.one_hot(validation.labels, 5).float()
    right = Evaluation(0.1, 1.0, 1.0, 100, (1.0,) * 5, *[validation.labels] * 2, certain.amax(1),
                       torch.zeros(100), certain)  # fmt: skip
    assert best_temperature(right)[0] == 1
    assert "every image of the validation part is right" in best_temperature(right)[1]
    broken = validation.logits.clone()
    broken[3, 2] = float("nan")
    validation.logits.copy_(broken)
    assert best_temperature(validation) == (
        1.0,
        "some outputs of the validation part are not finite",
    )


def test_a_broken_network_has_no_calibration_but_the_rest(tmp_path):
    parts, test = measured(50, 4, 4)
    test.logits[0] = float("inf")
    run = make_run(tmp_path, "run")
    run.calibration.write_text("{}")  # of a finish that was cut off
    write_outcome(run, parts, test, 1.0, "", 0)
    assert not run.calibration.exists()
    assert len(read(run.classes)["classes"]) == 4
    write_report(run)


def test_a_hundred_classes_are_written_in_a_moment_and_their_page_is_small(tmp_path):
    parts, test = measured(10_000, 100, 32)  # noise, which no PNG makes smaller
    run = make_run(tmp_path, "run")
    started = time.process_time()
    temperature, note = best_temperature(test)
    write_outcome(run, parts, test, temperature, note, 0)
    assert time.process_time() - started < 3
    assert write_report(run).stat().st_size < 5 * 2**20
    assert len(list(run.figures.glob("example-*.png"))) > 300


@pytest.mark.parametrize(("classes", "side", "most"), [(1000, 224, 0), (100, 224, 1), (5, 224, 6)])
def test_large_images_and_many_classes_leave_the_page_small(tmp_path, classes, side, most):
    parts, test = measured(max(150, classes), classes, side)
    run = make_run(tmp_path, "run")
    write_outcome(run, parts, test, 1.0, "", 0)
    shown = [len(each["missed"]) for each in read(run.examples)["classes"]]
    assert max(shown) <= most
    assert write_report(run).stat().st_size < 5 * 2**20
