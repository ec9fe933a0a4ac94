import json
from dataclasses import asdict

import pytest
from tests.reporting.builders import RECIPE, chart_lines, make_run, read_page, results

from convsmith.errors import UserError, WriteError
from convsmith.reporting.comparison import comparison_rows, comparison_table, write_comparison
from convsmith.reporting.report import write_report

OTHER = RECIPE.replace("epochs: 3", "epochs: 5").replace("dropout: 0.2", "dropout: 0.0")


@pytest.fixture
def two(tmp_path):
    first, second = make_run(tmp_path, "first"), make_run(tmp_path, "second", OTHER, epochs=5)
    second.results.write_text(json.dumps(results(second, 5, top1=0.9951, seconds=300.0)))
    return first, second


def test_figures_differences_and_the_best_are_plain_data(two):
    first, second = comparison_rows(two)
    assert (first.name, second.name) == ("first", "second")
    assert first.figures["test_top1"] == 0.9931
    assert first.best == ("seconds",)
    assert second.best == ("test_top1",)
    assert first.recipe == {"model.dropout": "0.2", "train.epochs": "3"}
    assert second.recipe == {"model.dropout": "0.0", "train.epochs": "5"}
    assert json.dumps(asdict(first))


def test_the_terminal_gets_equal_columns_with_the_best_marked(two):
    header, first, second = comparison_table(comparison_rows(two))
    assert len(header) == len(first) == len(second)
    assert header[:2] == ["run", "test top-1"]
    assert (first[1], second[1]) == ("99.31%", "99.51%*")


def test_the_page_shows_table_curves_and_differences(two, tmp_path):
    write_report(two[0])
    page = read_page(write_comparison(two, tmp_path / "comparison.html"))
    assert "99.51% (best)" in page.text
    assert "model.dropout 0.2 0.0" in page.text
    assert "first/report.html" in page.addresses
    assert "second/report.html" not in page.addresses
    loss = chart_lines(page, "train-loss")
    assert loss["first"] == [(1, "1"), (2, "0.5"), (3, "0.3333")]
    assert len(loss["second"]) == 5
    assert {"val-loss", "val-top1", "test-errors"} <= set(page.ids)


def test_links_are_seen_from_where_the_page_is(two, tmp_path):
    write_report(two[0])
    (tmp_path / "pages").mkdir()
    page = read_page(write_comparison(two, tmp_path / "pages" / "both.html"))
    assert "../first/report.html" in page.addresses


def test_equal_runs_have_no_best_and_no_differences(tmp_path):
    rows = comparison_rows([make_run(tmp_path, "first"), make_run(tmp_path, "second")])
    assert [row.best for row in rows] == [(), ()]
    assert [row.recipe for row in rows] == [{}, {}]


def test_options_that_one_network_does_not_have_are_differences(tmp_path):
    other = RECIPE.replace("name: digits_cnn, widths: [32, 64]", "name: mlp, hidden: 16")
    first, second = comparison_rows([make_run(tmp_path, "a"), make_run(tmp_path, "b", other)])
    assert first.recipe == {
        "model.name": "digits_cnn",
        "model.widths": "[32, 64]",
        "model.hidden": None,
    }
    assert second.recipe["model.hidden"] == "16"


def test_a_run_that_is_not_over_is_compared_by_its_newest_epoch(tmp_path):
    runs = [make_run(tmp_path, "done"), make_run(tmp_path, "half", epochs=1, finished=False)]
    done, half = comparison_rows(runs)
    assert half.state == "stopped"
    assert half.figures["val_top1"] == pytest.approx(0.85)
    assert half.figures["test_top1"] is None
    assert "half" in read_page(write_comparison(runs, tmp_path / "c.html")).text
    assert done.best == ("val_top1", "val_loss")
    assert half.best == ()  # a training that was cut short is not a quick one


def test_damaged_and_empty_runs_are_compared_all_the_same(tmp_path):
    runs = [make_run(tmp_path, "good"), make_run(tmp_path, "bad", epochs=0)]
    for name in ("results.json", "recipe.yaml", "metrics.jsonl"):
        (runs[1].path / name).write_text("{")
    page = read_page(write_comparison(runs, tmp_path / "c.html"))
    assert "damaged" in page.text
    assert "The recipes are equal" in page.text


def test_runs_of_one_name_are_told_apart(tmp_path):
    runs = [make_run(tmp_path / "old", "run"), make_run(tmp_path / "new", "run")]
    assert [row.name for row in comparison_rows(runs)] == ["old/run", "new/run"]
    again = comparison_rows([runs[0], runs[0]])
    assert [row.name for row in again] == ["run", "run"]


def test_different_data_are_pointed_out(tmp_path):
    other = RECIPE.replace("source: digits", "source: <b>mnist</b>")
    runs = [make_run(tmp_path, "a"), make_run(tmp_path, "b", other)]
    page = read_page(write_comparison(runs, tmp_path / "c.html"))
    assert "different data (digits, <b>mnist</b>)" in page.text


def test_twelve_runs_and_one(tmp_path):
    runs = [make_run(tmp_path, f"run-{number}", epochs=1) for number in range(12)]
    assert "12 runs" in read_page(write_comparison(runs, tmp_path / "c.html")).text
    assert "only one recipe" in read_page(write_comparison(runs[:1], tmp_path / "c.html")).text


def test_no_run_and_no_place_are_clear_errors(tmp_path):
    assert comparison_rows([]) == []
    with pytest.raises(UserError, match="which runs"):
        write_comparison([], tmp_path / "c.html")
    with pytest.raises(WriteError, match="cannot write"):
        write_comparison([make_run(tmp_path, "a")], tmp_path / "none" / "c.html")
