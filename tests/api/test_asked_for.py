"""Robustness and label errors, which are measured when they are asked for."""

import json
from dataclasses import replace

import pytest
import torch
from PIL import Image

import convsmith
from convsmith.api.held_out import fold_of
from convsmith.errors import UserError
from convsmith.insight.corruptions import blur

FIXED = ["train.precision=fp32", "train.memory_format=contiguous"]  # nothing to measure


def state(folder):
    """Everything in a run's folder, by name."""
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def digits():
    return convsmith.data.load_source("digits", None)


@pytest.fixture(scope="module")
def wrong():
    """Training images whose labels are made wrong."""
    return torch.randperm(1438, generator=torch.Generator().manual_seed(1))[:70]


@pytest.fixture(scope="module")
def noisy(digits, wrong):
    labels = digits.train.labels.clone()
    labels[wrong] = (labels[wrong] + 1 + wrong % 9) % 10
    return replace(digits, train=replace(digits.train, labels=labels))


@pytest.fixture(scope="module")
def run(tmp_path_factory, noisy):
    runs = tmp_path_factory.mktemp("runs")
    return convsmith.train("digits", data=noisy, epochs=6, sets=FIXED, runs=runs, progress="none")


def test_labels_that_were_made_wrong_are_found(run, noisy, wrong, digits):
    found = convsmith.evaluate(run.path, data=noisy, label_errors=True).label_errors
    parts = {part.part: part for part in found.parts}
    assert parts["train"].images + parts["validation"].images == 1438
    assert parts["train"].found + parts["validation"].found == len(found.errors)
    hits = sum(shows(run, each, digits) for each in found.errors)
    assert hits > 0.85 * len(found.errors)
    assert hits > 0.5 * len(wrong)
    stored = json.loads((run.path / "label_errors.json").read_text())
    assert stored["errors"][0]["label"] == found.errors[0].label
    assert "labels look wrong" in (run.path / "report.html").read_text()


def test_networks_that_have_not_seen_the_labels_find_more(run, noisy, wrong, digits):
    own = convsmith.evaluate(run.path, data=noisy, label_errors=True).label_errors
    found = convsmith.evaluate(run.path, data=noisy, label_errors=True, folds=2).label_errors
    train, validation = found.parts
    assert (train.folds, validation.folds) == (2, 0)
    assert validation == own.parts[1]
    hits = sum(shows(run, each, digits) for each in found.errors)
    assert hits > 0.7 * len(wrong)
    assert hits > 0.7 * len(found.errors)
    assert "2 networks, each of which judged" in (run.path / "report.html").read_text()


def test_folds_hold_out_every_image_once_and_spread_each_class():
    labels = torch.randint(7, (501,))
    fold = fold_of(labels, 4, 0)
    assert sorted(fold.unique().tolist()) == [0, 1, 2, 3]
    for label in range(7):
        counts = fold[labels == label].bincount(minlength=4)
        assert counts.max() - counts.min() <= 1
    assert torch.equal(fold, fold_of(labels, 4, 0))
    assert not torch.equal(fold, fold_of(labels, 4, 1))


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"folds": 2}, "belong to label errors"),
        ({"folds": 1, "label_errors": True}, "two or more"),
        ({"folds": 100_000, "label_errors": True}, "more than the .* training images"),
    ],
)
def test_folds_that_cannot_be_are_mistakes(run, noisy, asked, said):
    with pytest.raises(UserError, match=said):
        convsmith.evaluate(run.path, data=noisy, **asked)


def shows(run, error, digits):
    """Whether the picture of an error is a digit that the true labels call as was suggested."""
    if error.image is None:
        return True
    with Image.open(run.path / error.image) as image:
        pixels = torch.tensor(list(image.convert("L").tobytes())).view(1, 1, 8, 8)
    images, labels = digits.train.take(slice(None))
    same = (images == pixels).flatten(1).all(1)
    return labels[same].eq(int(error.suggested)).any().item()


def test_robustness_is_measured_on_worse_images(run, noisy):
    found = convsmith.evaluate(run.path, data=noisy, robustness=True)
    robust = found.robustness
    assert robust.top1 == found.score.top1
    assert [each.name for each in robust.corruptions] == ["noise", "blur", "brightness", "jpeg"]
    shares = [share for each in robust.corruptions for share in each.top1]
    assert robust.mean_top1 == pytest.approx(sum(shares) / 20)
    assert robust.mean_top1 < robust.top1
    blurred = robust.corruptions[1]
    model = convsmith.load(run.path)
    pixels, labels = noisy.test.take(slice(None))
    worse = blur(pixels, blurred.settings[4], torch.Generator())
    right = model.probabilities(worse).argmax(1) == labels
    assert blurred.top1[4] == pytest.approx(right.double().mean().item())
    with Image.open(run.path / "figures" / "corruptions.png") as sheet:
        assert sheet.width > 6 * 100
    assert "made worse" in (run.path / "report.html").read_text()


def test_what_is_asked_for_twice_is_the_same_and_nothing_else_changes(run, noisy):
    convsmith.evaluate(run.path, data=noisy, robustness=True, label_errors=True)
    before = state(run.path)
    convsmith.evaluate(run.path, data=noisy, robustness=True, label_errors=True)
    after = state(run.path)
    changed = {name for name in after if after[name] != before.get(name)}
    assert changed <= {"report.html"}  # the time of writing
    assert after.keys() == before.keys()


def test_without_being_asked_for_nothing_is_written(tmp_path):
    run = convsmith.train("moons", epochs=1, sets=FIXED, runs=tmp_path, progress="none")
    before = state(run.path)
    found = convsmith.evaluate(run.path)
    assert (found.robustness, found.label_errors) == (None, None)
    assert state(run.path) == before
    with pytest.raises(UserError, match="no points"):
        convsmith.evaluate(run.path, robustness=True)
    points = convsmith.evaluate(run.path, label_errors=True).label_errors
    assert all(each.image is None for each in points.errors)
