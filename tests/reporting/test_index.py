import json

import pytest
from tests.reporting.builders import ENVIRONMENT, make_run, read_page

from convsmith.errors import RunError
from convsmith.reporting.index import write_index
from convsmith.reporting.report import write_report


def names(page):
    return [each["data-value"] for each in page.all("th") if "data-value" in each]


def test_runs_are_listed_newest_first_with_links_to_their_pages(tmp_path):
    runs = [make_run(tmp_path, name) for name in ("a", "b", "c")]
    for run, day in zip(runs, (3, 9, 5), strict=True):
        started = f"2026-11-{day:02d}T08:00:00+00:00"
        run.environment.write_text(json.dumps(ENVIRONMENT | {"started": started}))
    write_report(runs[1])
    assert write_index(tmp_path) == tmp_path / "index.html"
    page = read_page(tmp_path / "index.html")
    assert names(page) == ["b", "c", "a"]
    assert [a for a in page.addresses if a.endswith("html")] == ["b/report.html"]
    assert "3 runs 3 finished" in page.text
    assert "b finished 99.31% digits digits_cnn 3 1 min 49 s 9 Nov 2026, 08:00 UTC" in page.text


def test_a_run_that_is_not_over_shows_how_far_it_is(tmp_path):
    make_run(tmp_path, "half", epochs=2, finished=False)
    text = read_page(write_index(tmp_path)).text
    assert "half stopped – digits digits_cnn 2 of 3 5.0 s" in text


def test_broken_runs_are_listed_with_the_reason(tmp_path):
    make_run(tmp_path, "good")
    for name, content in (("other", '{"format": 99}'), ("broken", "{")):
        (make_run(tmp_path, name).path / "run.json").write_text(content)
    (make_run(tmp_path, "headless").path / "run.json").unlink()
    (make_run(tmp_path, "damaged").results).write_text("{}")
    (tmp_path / "no-run").mkdir()
    (tmp_path / ".new-17").mkdir()
    (tmp_path / "notes.txt").write_text("")
    page = read_page(write_index(tmp_path))
    assert sorted(names(page)) == ["damaged", "good"]
    assert "damaged damaged – digits" in page.text
    assert "headless run.json is missing" in page.text
    assert "format 99" in page.text
    assert "run.json cannot be read" in page.text
    assert "no-run" not in page.text
    assert str(tmp_path) not in page.text


def test_hostile_folder_names_are_words_and_addresses(tmp_path):
    run = make_run(tmp_path, "run")
    odd = run.path.rename(tmp_path / 'java:script "<b>')
    write_report(type(run).open(odd))
    page = read_page(write_index(tmp_path))
    assert names(page) == ['java:script "<b>']
    assert page.addresses[-1] == "java%3Ascript%20%22%3Cb%3E/report.html"


def test_an_empty_folder_and_none(tmp_path):
    assert "no run here" in read_page(write_index(tmp_path)).text
    with pytest.raises(RunError, match="cannot list"):
        write_index(tmp_path / "none")
