"""Planted faults are found in small trainings on digits, and a healthy one shows nothing."""

import copy
import json
import re
import shutil

import pytest
import torch
from benchmarks.diagnose import PLANTS, Breaks, diagnosed, healthy_case, insert
from torch import nn

import convsmith
from convsmith.api import watching
from convsmith.cli.main import main
from convsmith.data import load_source
from convsmith.errors import DamagedError, UserError
from convsmith.recipe import build

SHORT = "train.epochs=5"


def test_a_healthy_training_shows_nothing():
    assert diagnosed(healthy_case("vgg_bn", seed=0), "train.epochs=8") == ()


@pytest.mark.parametrize(
    "name", [name for name in PLANTS if name not in ("overfit", "underfit", "spike", "batch-norm")]
)
def test_a_planted_fault_is_found(name):
    case = healthy_case("vgg_bn", seed=1)
    PLANTS[name](case, 1)
    assert name in diagnosed(case, SHORT)


@pytest.mark.parametrize("name", ["overfit", "underfit", "spike", "batch-norm"])
def test_a_planted_fault_that_takes_its_time_is_found(name):
    case = healthy_case("vgg_bn", seed=1)
    PLANTS[name](case, 1)
    assert name in diagnosed(case)


def test_the_first_layer_and_step_that_are_not_finite_are_named():
    case = healthy_case("resnet_small", seed=0)
    insert(case, Breaks(7), after="stage1")
    found = convsmith.diagnose(
        "digits", model=case.net, data=case.data, sets=[*case.sets, SHORT], progress="none"
    )
    assert [each.rule for each in found.findings] == ["nonfinite"]
    assert found.findings[0].step == 8
    assert found.findings[0].layer == "stage1.1"


@pytest.mark.parametrize(("augment", "mixed"), [("none", False), ("{cutmix: 0.5}", True)])
def test_rules_are_told_whether_images_are_mixed(augment, mixed):
    recipe = convsmith.load_recipe("digits", sets=[f"data.augment={augment}"]).recipe
    source = load_source("digits", None)
    known = watching.about(recipe, source, build.split(recipe, source), own_model=False)
    assert known.settings.mixed is mixed


def test_a_network_of_ones_own_stays_as_it_is():
    case = healthy_case("vgg_bn", seed=0)
    net = case.net.eval()
    net.head.weight.grad = torch.ones_like(net.head.weight)
    before, random = copy.deepcopy(net.state_dict()), torch.get_rng_state()
    diagnosed(case, "train.epochs=1")
    assert torch.equal(torch.get_rng_state(), random)
    for name, tensor in net.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    assert torch.equal(net.head.weight.grad, torch.ones_like(net.head.weight))
    assert not any(each.training or each._forward_hooks for each in net.modules())


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run whose rate was far too low."""
    runs = tmp_path_factory.mktemp("runs")
    sets = ["optimizer.learning_rate=1e-7", "train.log_every=4"]
    return convsmith.train("digits", epochs=5, name="slow", sets=sets, runs=runs, progress="none")


def test_a_run_is_diagnosed_from_its_files_and_its_page_says_so(run, capsys):
    before = {path: path.read_bytes() for path in run.path.glob("*.safetensors")}
    with pytest.raises(SystemExit) as ended:
        main(["diagnose", str(run.path), "--progress", "none"])
    assert ended.value.code == 0
    out = capsys.readouterr().out
    assert "BAD   the network has not learnt its training images" in out
    assert re.search(r"seen +the training loss is 2\.\d+ after the last epoch", out)
    assert re.search(r"try +--set train.epochs=15", out)
    assert f"page: {run.path / 'report.html'}" in out
    stored = json.loads((run.path / "findings.json").read_text())
    assert [each["rule"] for each in stored["findings"]] == ["underfit"]
    assert "the network has not learnt" in (run.path / "report.html").read_text()
    assert {path: path.read_bytes() for path in before} == before


@pytest.mark.parametrize(
    "line",
    [
        '{"event": "epoch"}',
        '{"event": "step", "step": 1, "loss": "low"}',
        '{"event": "epoch", "epoch": 1, "step": 1, "train": {"loss": [1], "top1": 0}, "val": null}',
    ],
)
def test_events_without_their_fields_are_damage(run, tmp_path, line):
    copied = tmp_path / "copied"
    shutil.copytree(run.path, copied)
    with (copied / "metrics.jsonl").open("a") as file:
        file.write(f"{line}\n")
    with pytest.raises(DamagedError, match=r"metrics\.jsonl is not as convsmith wrote it"):
        convsmith.diagnose(copied)


def test_a_loss_that_was_not_finite_when_the_run_was_killed_is_borne(run, tmp_path):
    copied = tmp_path / "copied"
    shutil.copytree(run.path, copied)
    with (copied / "metrics.jsonl").open("a") as file:
        file.write('{"event": "step", "step": 10000, "loss": null}\n')
    assert [each.rule for each in convsmith.diagnose(copied).findings] == ["underfit"]


def test_the_network_that_is_looked_at_is_the_one_that_was_trained(tmp_path, monkeypatch):
    run = convsmith.train("digits", epochs=2, runs=tmp_path, progress="none")
    seen = []
    surveyed = watching.survey
    monkeypatch.setattr(watching, "survey", lambda *args: seen.append(surveyed(*args)) or seen[-1])
    convsmith.diagnose(run.path, progress="none")
    for split, found in zip(("train", "validation"), seen, strict=True):
        top1 = convsmith.evaluate(run.path, split=split).score.top1
        assert found.ranks[0] / found.images == pytest.approx(top1, abs=1e-6)


def test_an_unfinished_run_is_diagnosed_at_its_newest_checkpoint(tmp_path):
    sets = ["optimizer.name=sgd", "optimizer.learning_rate=1e20", "model.norm=group"]
    with pytest.raises(convsmith.errors.NonFiniteError):
        convsmith.train("digits", epochs=2, name="bad", sets=sets, runs=tmp_path, progress="none")
    found = convsmith.diagnose("bad", runs=tmp_path, progress="none")
    assert found.findings[0].rule == "nonfinite"
    assert found.findings[0].step is not None


def test_a_network_of_ones_own_in_a_run(tmp_path):
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10))
    run = convsmith.train("digits", model=net, epochs=1, runs=tmp_path, progress="none")
    with pytest.raises(UserError, match="pass it as `model=`"):
        convsmith.diagnose(run.path)
    found = convsmith.diagnose(run.path, model=net, progress="none")
    assert found.page == run.path / "report.html"


@pytest.mark.parametrize(
    ("target", "options", "kind", "said"),
    [
        ("slow", {"epochs": 3}, UserError, "is a run and keeps its recipe"),
        ("slow", {"watch": 0}, UserError, "--watch and --images must be at least 1"),
        ("nonsense", {}, UserError, "there is no run, preset or recipe file 'nonsense'; presets: "),
        ("nonsense/run", {}, UserError, "nonsense/run"),
    ],
)
def test_mistakes_are_one_line(run, target, options, kind, said):
    with pytest.raises(kind, match=said):
        convsmith.diagnose(target, runs=run.path.parent, progress="none", **options)
