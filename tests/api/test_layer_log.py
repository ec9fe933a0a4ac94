"""Layers logged once an epoch: the training does not notice, and everything reads it."""

import warnings

import pytest
import torch
from safetensors.torch import load_file

import convsmith


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The same training without and with the log."""
    folder = tmp_path_factory.mktemp("runs")
    sets = ["train.precision=fp32", "train.max_steps=50", "train.tensorboard=true"]
    return [
        convsmith.train(
            "digits", epochs=3, runs=folder, progress="none", sets=[*sets, f"train.watch={wanted}"]
        )
        for wanted in ("false", "true")
    ]


def test_the_weights_are_the_same_to_the_bit(runs):
    plain, watched = (load_file(run.folder.weights) for run in runs)
    assert plain.keys() == watched.keys()
    assert all(torch.equal(plain[name], watched[name]) for name in plain)


def test_the_last_step_of_every_epoch_and_of_the_run_is_logged(runs):
    assert not [event for event in runs[0].metrics if event["event"] == "layers"]
    logged = [event for event in runs[1].metrics if event["event"] == "layers"]
    assert [event["step"] for event in logged] == [20, 40, 50]
    layers = logged[0]["layers"]
    assert [each["name"] for each in layers] == [
        *("stage1.0", "stage1.3", "stage2.0", "stage2.3"),
        "head",
    ]
    weights = load_file(runs[1].folder.weights)
    for layer in logged[-1]["layers"]:
        norm = float(weights[f"{layer['name']}.weight"].norm())
        assert layer["weight_norm"] == pytest.approx(norm)
        assert layer["update_ratio"] > 0
    kinds = {name.partition("/")[0] for name in logged[0]["histograms"]}
    assert kinds == {"weight", "gradient", "output"}


def test_tensorboard_shows_the_histograms(runs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        events = EventAccumulator(str(runs[1].path / "tensorboard"), {"histograms": 0})
        events.Reload()
    shown = events.Histograms("weight/head")
    assert [each.step for each in shown] == [20, 40, 50]
    weight = load_file(runs[1].folder.weights)["head.weight"]
    last = shown[-1].histogram_value
    assert last.num == weight.numel()
    assert last.max == pytest.approx(float(weight.max()))
    assert last.sum == pytest.approx(float(weight.sum()), abs=0.02 * weight.numel() * last.max)


def test_the_page_shows_them_and_diagnose_reads_them(runs):
    page = runs[1].folder.report.read_text()
    assert 'id="layers"' in page
    assert 'id="layer-0-weight"' in page
    assert 'id="layers"' not in runs[0].folder.report.read_text()
    found = convsmith.diagnose(runs[1].path, progress="none")
    assert "the layers in 3 steps" in found.looked
    assert found.findings == ()
