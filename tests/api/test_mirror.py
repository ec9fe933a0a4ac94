"""Every image also seen in the mirror, when a finished run is evaluated."""

import json
from dataclasses import replace

import pytest
import torch

import convsmith
from convsmith.errors import UserError

FIXED = ["train.precision=fp32", "train.memory_format=contiguous"]  # nothing to measure


@pytest.fixture(scope="module")
def digits():
    """Digits whose mirror images are of the same class, as far as anybody says."""
    return replace(convsmith.data.load_source("digits", None), mirrored=True)


@pytest.fixture(scope="module")
def run(tmp_path_factory, digits):
    runs = tmp_path_factory.mktemp("runs")
    return convsmith.train("digits", data=digits, epochs=4, sets=FIXED, runs=runs, progress="none")


def test_the_logits_of_both_images_are_averaged_and_the_run_stays(run, digits):
    kept = {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()}
    plain = convsmith.evaluate(run.path, data=digits)
    found = convsmith.evaluate(run.path, data=digits, mirror=True)
    assert (plain.mirrored, found.mirrored) == (False, True)
    pixels, labels = digits.test.take(slice(None))
    model = convsmith.load(run.path)
    mean, std = (torch.tensor(each)[:, None, None] for each in (model.card.mean, model.card.std))
    images = (pixels / model.card.scale - mean) / std
    with torch.no_grad():
        logits = (model.module(images) + model.module(images.flip(3))) / 2
    assert found.score.top1 == pytest.approx(float((logits.argmax(1) == labels).double().mean()))
    loss = torch.nn.functional.cross_entropy(logits, labels)
    assert found.score.loss == pytest.approx(float(loss), rel=1e-4)
    assert found.score != plain.score
    assert {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()} == kept
    assert json.loads((run.path / "results.json").read_text())["test"]["top1"] == plain.score.top1


def test_where_a_mirror_image_is_of_another_class_it_is_refused(run):
    plain = convsmith.data.load_source("digits", None)
    with pytest.raises(UserError, match="digits and its mirror image are not of one class"):
        convsmith.evaluate(run.path, data=plain, mirror=True)


@pytest.mark.parametrize("said", [True, False])
def test_what_the_recipe_says_of_mirrors_counts(tmp_path, digits, said):
    source = replace(digits, mirrored=not said)
    sets = [*FIXED, f"data.mirrored={str(said).lower()}"]
    run = convsmith.train(
        "digits", data=source, epochs=1, sets=sets, runs=tmp_path, progress="none"
    )
    if said:
        assert convsmith.evaluate(run.path, data=source, mirror=True).mirrored
    else:
        with pytest.raises(UserError, match=r"the recipe says data\.mirrored: false"):
            convsmith.evaluate(run.path, data=source, mirror=True)


@pytest.mark.parametrize("other", ["robustness", "label_errors"])
def test_it_goes_with_no_other_question(run, digits, other):
    with pytest.raises(UserError, match="leave out --mirror"):
        convsmith.evaluate(run.path, data=digits, mirror=True, **{other: True})
