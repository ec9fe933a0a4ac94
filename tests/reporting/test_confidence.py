"""What the page says of confidence, robustness and labels, and how to ask for what is not there."""

import json

import pytest
from tests.reporting.builders import (
    RECIPE,
    add_extras,
    add_measures,
    chart_lines,
    make_run,
    measured,
    read_page,
)

from convsmith.reporting.report import write_report


@pytest.fixture
def run(tmp_path):
    made = make_run(tmp_path, "run")
    add_extras(made)
    add_measures(made)
    return made


def report(run):
    return read_page(write_report(run))


def change(path, **values):
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_the_temperature_and_what_it_changed_are_told(run):
    page = report(run)
    for words in (
        "it says 86.00% on average and is right 83.33% of the time",
        "it is too sure of some guesses and not sure enough of others",
        "A temperature of 1.43, fitted on the 40 images of the validation part",
        "the calibration error went from 8.12% to 3.23% and the log loss from 0.4 to 0.3.",
        "so many images would show about 1.23%",
    ):
        assert words in page.text, words
    dots = chart_lines(page, "reliability")
    assert dots["as trained"] == [
        ("64.00%", "right 50.00% of 10"),
        ("97.00%", "right 100.00% of 20"),
    ]
    assert set(dots) == {"as trained", "after the temperature"}


@pytest.mark.parametrize(
    ("after", "words"),
    [
        (measured(0.09, 0.5), "which is worse"),
        (measured(0.09, 0.3), "which is not better in both"),
    ],
)
def test_a_temperature_that_did_not_help_is_said_not_to(run, after, words):
    change(run.calibration, after=after)
    assert words in report(run).text


def test_a_run_without_a_temperature_says_why(run):
    change(run.calibration, after=None, fitted_on=0, temperature=1.0, note="no validation part")
    page = report(run)
    assert "Its probabilities are used as they are: no validation part." in page.text
    assert set(chart_lines(page, "reliability")) == {"as trained"}


def test_small_errors_are_said_to_be_what_so_few_images_show(run):
    change(run.calibration, before=measured(0.015, 0.4))
    assert "as true as can be told from so many images" in report(run).text
    sure = measured(0.08, 0.4) | {"confidence": 0.95, "accuracy": 0.85}
    change(run.calibration, before=sure)
    assert "it is surer than it should be" in report(run).text
    change(run.calibration, before=sure | {"confidence": 0.7})
    assert "it is less sure than it could be" in report(run).text


def test_robustness_is_drawn_from_the_images_as_they_are(run):
    page = report(run)
    assert "as it is, 90.00% right, and made worse: 76.54% on average" in page.text
    assert "Weakest: blur at strength 5, 40.00%" in page.text
    top1 = chart_lines(page, "robustness-top1")
    assert top1["blur"][:2] == [(0, "90.00%"), (1, "80.00%")]
    assert set(top1) == {"noise", "blur", "brightness", "jpeg"}
    assert chart_lines(page, "robustness-ece")["jpeg"][0] == (0, "3.00%")


def test_labels_are_shown_with_what_they_are_worth(run):
    text = report(run).text
    assert "1 of 200 training labels look wrong" in text
    assert "has learned 98.50% of them: what it knows by heart it does not find" in text
    assert "0 of 40 validation labels look wrong. It was not trained on" in text
    assert "cat 93.00% labelled owl 2.00% training image 12" in text


def test_what_can_be_asked_for_is_told_once_and_only_where_it_can(run, tmp_path):
    assert "--robustness" not in report(run).text
    run.robustness.unlink()
    run.label_errors.unlink()
    page = report(run)
    assert f"convsmith evaluate {run.path} --robustness" in page.text
    assert f"convsmith evaluate {run.path} --label-errors" in page.text
    assert {"robustness", "labels"}.isdisjoint(page.ids)
    for sheet in ("samples", "augmented"):
        (run.path / "figures" / f"{sheet}.png").unlink()
    assert "--robustness" not in report(run).text  # points have no pictures
    own = make_run(tmp_path, "own", RECIPE.replace("source: digits", "source: own"))
    assert "--label-errors" not in report(own).text
    assert "--label-errors" not in report(make_run(tmp_path, "half", finished=False)).text


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("calibration.json", "{"),
        ("calibration.json", '{"part": "test"}'),
        ("robustness.json", "[]"),
        ("robustness.json", '{"part": "t", "images": 1, "top1": 1, "ece": 0, "mean_top1": 1, '
         '"corruptions": []}'),
        ("label_errors.json", "null"),
    ],
)  # fmt: skip
def test_a_damaged_file_costs_its_section_only(run, name, content):
    (run.path / name).write_text(content)
    page = report(run)
    assert f"{name} is damaged" in page.text
    assert "To train the same again" in page.text


def test_bins_that_cannot_be_are_damage(run):
    stored = json.loads(run.calibration.read_text())
    for wrong in ({"confidence": 1.5}, {"images": 0}, {"least": 0.9, "most": 0.1}):
        before = measured(0.1, 0.4)
        before["bins"][0] |= wrong
        run.calibration.write_text(json.dumps(stored | {"before": before}))
        assert "calibration.json is damaged" in report(run).text
