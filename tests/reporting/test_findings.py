"""Findings on the page: near the top, with plot, command and marks; damage is said."""

import json

from tests.reporting.builders import chart_lines, make_run, read_page

from convsmith.reporting.report import write_report

HOSTILE = '<script>alert("x")</script>'


def finding(**values):
    return {
        "rule": "spike",
        "severity": "warn",
        "what": "the loss leaps up",
        "evidence": "2.3 in step 15, 5 times the middle of the 20 before",
        "cause": "a batch unlike the others",
        "change": "clip gradients",
        "sets": ["train.clip_norm=1", "train.early_stopping={metric: loss}"],
        "layer": "stage1.0",
        "step": 15,
        "epoch": None,
        "plot": {
            "title": "The loss near it",
            "x_label": "step",
            "points": [[14, 0.4], [15, 2.3], [16, None]],
            "log": False,
            "level": {"y": 0.4, "label": "usual"},
        },
    } | values


def page_with(tmp_path, *findings, name="run"):
    run = make_run(tmp_path, name)
    value = {"made": "2026-11-25T10:00:00+00:00", "looked": ["6 epochs"], "findings": findings}
    run.findings.write_text(json.dumps(value))
    return read_page(write_report(run))


def test_a_finding_is_shown_with_its_place_plot_and_command(tmp_path):
    page = page_with(tmp_path, finding(), finding(rule="overfit", step=None, epoch=2, plot=None))
    for words in (
        *("1. the loss leaps up", "layer stage1.0, step 15", "2.3 in step 15", "a batch unlike"),
        *("recipe.yaml --set train.clip_norm=1", "'train.early_stopping={metric: loss}'"),
        *("2. the loss leaps up", "epoch 2", "Looked at 6 epochs, on 25 Nov 2026"),
    ):
        assert words in page.text, words
    lines = chart_lines(page, "finding-1")
    assert lines["The loss near it"] == [(14, "0.4"), (15, "2.3")]
    assert {words for _, words in lines["usual"]} == {"0.4"}
    assert page.ids.index("findings") < page.ids.index("curves")


def test_curves_are_marked_where_findings_happened(tmp_path):
    plain = read_page(write_report(make_run(tmp_path, "plain")))
    page = page_with(tmp_path, finding(), finding(rule="overfit", step=None, epoch=2))
    added = len(page.all("path", "mark")) - len(plain.all("path", "mark"))
    assert added == 2 * 2  # in both curves
    assert page.text.count("1: spike") == 2
    assert page.text.count("2: overfit") == 2


def test_nothing_found_is_said_and_nothing_looked_for_is_not(tmp_path):
    assert "Nothing was found. Looked at 6 epochs" in page_with(tmp_path).text
    plain = read_page(write_report(make_run(tmp_path, "plain")))
    assert "findings" not in plain.ids


def test_damage_is_said_and_what_the_file_holds_is_only_text(tmp_path):
    run = make_run(tmp_path, "broken")
    run.findings.write_text('{"made": 1}')
    assert "findings.json is damaged" in read_page(write_report(run)).text
    page = page_with(tmp_path, finding(what=HOSTILE, evidence=HOSTILE, sets=[HOSTILE]))
    assert HOSTILE in page.text
    assert len(page.all("script")) == 1
