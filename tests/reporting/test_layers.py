"""Quantiles from histograms against NumPy's from the values."""

import json

import numpy
import pytest
from tests.reporting.builders import chart_lines, make_run, read_page

from convsmith.reporting.layers import point
from convsmith.reporting.report import write_report


def histogram(values, bins=32):
    counts, edges = numpy.histogram(values, bins)
    return {"low": float(edges[0]), "high": float(edges[-1]), "counts": counts.tolist()}


@pytest.mark.parametrize("share", [0.025, 0.25, 0.5, 0.975])
def test_quantiles_are_numpys_to_a_bin(share):
    values = numpy.random.default_rng(0).normal(size=5000)
    found = histogram(values)
    width = (found["high"] - found["low"]) / 32
    assert point(3, found, share) == (3, pytest.approx(numpy.quantile(values, share), abs=width))


def test_a_constant_and_damage():
    assert point(1, {"low": 2.0, "high": 2.0, "counts": [7]}, 0.5) == (1, 2.0)
    for broken in ({}, {"low": 0, "high": None, "counts": [1]}, {"low": 0, "high": 1, "counts": 3}):
        assert point(1, broken, 0.5) == (1, None)


def test_layers_are_drawn_by_step_without_what_a_rollback_undid(tmp_path):
    run = make_run(tmp_path, "run")
    shown = histogram([0.0, 1.0], bins=2)
    events = [
        {
            "event": "layers",
            "step": step,
            "histograms": {"weight/stem": shown, "output/stem": shown},
        }
        for step in (10, 20, 30)
    ]
    events.insert(2, {"event": "rollback", "step": 25, "to": 10, "where": "in the loss"})
    with run.metrics.open("a") as file:
        file.writelines(json.dumps(each) + "\n" for each in events)
    page = read_page(write_report(run))
    assert "stem" in page.text
    middle = chart_lines(page, "layer-0-weight")["middle"]
    assert [step for step, _ in middle] == [10, 30]
    assert "layer-0-output" in page.charts
    assert "layer-0-gradient" not in page.charts
