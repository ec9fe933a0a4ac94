"""Results and model cards go through JSON unchanged."""

import json
from dataclasses import asdict

import pytest
from pydantic import TypeAdapter

from convsmith.runs.model_card import ModelCard
from convsmith.runs.results import PerClass, Results, Score

RESULTS = Results(
    run="runs/x",
    test=Score(0.98, 1.0, 0.06, 359),
    val=None,
    epochs=3,
    steps=51,
    best_epoch=None,
    weights="last",
    averaged=True,
    trained_on_all=True,
    seconds=1.5,
    images_per_second=None,
    eval_images_per_second=9000.0,
    peak_memory_bytes=10**9,
    parameters=67_754,
    model_bytes=280_000,
    per_class=PerClass.of((1.0, 0.5, 0.9)),
)


def test_results_read_back_equal():
    text = json.dumps(asdict(RESULTS))
    assert TypeAdapter(Results).validate_json(text) == RESULTS


def test_the_spread_over_classes_is_that_of_the_classes():
    found = RESULTS.per_class
    assert (found.min, found.max) == (0.5, 1.0)
    assert found.mean == pytest.approx(0.8)
    assert found.std == pytest.approx(0.216, abs=1e-3)


def test_a_class_without_a_test_image_is_left_out():
    assert PerClass.of((1.0, float("nan"), 0.5)) == PerClass.of((1.0, 0.5))


def test_a_card_reads_back_equal():
    card = ModelCard("mlp", {"widths": [3]}, ("a", "b"), 1, (4, 5), (0.1,), (0.2,), 255.0)
    assert TypeAdapter(ModelCard).validate_json(json.dumps(asdict(card))) == card
