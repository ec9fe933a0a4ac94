"""What the page says of classes: scores, pairs, and what is shown when a class is opened."""

import json

import pytest
from tests.reporting.builders import add_extras, add_measures, make_run, read_page

from convsmith.reporting.classes import read_classes
from convsmith.reporting.report import write_report


@pytest.fixture
def run(tmp_path):
    made = make_run(tmp_path, "run")
    add_extras(made)
    add_measures(made)
    return made


def report(run):
    return read_page(write_report(run))


def test_scores_have_their_intervals(run):
    page = report(run)
    assert "Accuracy 90.00% 85.0–94.0%" in page.text
    assert "Mean F1 93.00% 88.0–97.0%" in page.text
    assert "Top-2 95.00%" in page.text
    assert "Top-3" not in page.text  # three classes: always all right
    assert "95 % intervals from drawing the 30 images anew 1,000 times" in page.text
    assert "cat 80.00% 75.0–84.0% 8 10 71.00% 66.0–75.0% 75.00% 70.0–79.0% dog 2×" in page.text


def test_a_class_is_opened_by_its_name(run):
    page = report(run)
    assert [f"class-{n}" in page.ids for n in range(3)] == [True] * 3
    assert {"#class-0", "#class-1", "#class-2"} <= set(page.addresses)
    cat = page.text.partition("class cat")[2].partition("class dog")[0]
    assert "Taken for dog 2× dog 77.00% is cat image 3" in cat
    assert "Taken for it dog 1×" in cat


def test_pairs_show_their_images(run):
    page = report(run)
    assert "cat → dog 2 images, 20.00% of cat" in page.text
    titles = [each["title"] for each in page.all("img") if "title" in each]
    assert titles == ["77.00% sure, image 3"] * 2


def test_pairs_that_the_matrix_does_not_know_are_left_out(run):
    stored = json.loads(run.examples.read_text())
    stored["pairs"] += [{"label": "cat", "guess": "bird", "examples": []}]
    stored["pairs"] += [{"label": "owl", "guess": "cat", "examples": []}]
    run.examples.write_text(json.dumps(stored))
    assert [(pair.label, pair.guess) for pair in read_classes(run).pairs] == [("cat", "dog")]


@pytest.mark.parametrize("name", ["classes.json", "examples.json"])
def test_an_older_run_has_its_matrix_and_table(run, name):
    (run.path / name).unlink()
    page = report(run)
    assert "confusion" in page.charts
    assert "damaged" not in page.text
    (run.path / name).write_text("{")
    page = report(run)
    assert "confusion" in page.charts
    assert f"{name} is damaged" in page.text


@pytest.mark.parametrize(
    ("size", "alike", "order"),
    [
        (3, [2, 0, 1], "as in the data"),
        (30, [*range(29, -1, -1)], "alike together"),
        (30, [], "as in the data"),
        (30, [0] * 30, "as in the data"),
    ],
)
def test_many_classes_are_shown_with_like_ones_together(tmp_path, size, alike, order):
    run = make_run(tmp_path, "run")
    names = [f"c{n}" for n in range(size)]
    add_extras(
        run, names, [[3 * (a == b) + (a + 1 == b) for b in range(size)] for a in range(size)]
    )
    stored = json.loads(run.confusion.read_text())
    run.confusion.write_text(json.dumps(stored | {"alike": alike}))
    chart = report(run).charts["confusion"]
    assert chart["order"] == order
    assert ("alike together" in chart["orders"]) == (sorted(alike) == list(range(size)))
    assert chart["orders"]["weakest first"][-1] == size - 1  # the one without a mistake
    assert chart["rows"][0][:2] == [3, 1]
