"""Suggested rates: they train well, with anything that trains, and finding them changes nothing."""

import copy
import json
import re

import pytest
import torch
from torch import nn

import convsmith
from convsmith.cli.main import main
from convsmith.errors import RecipeError, UserError


@pytest.fixture(autouse=True)
def in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def find(*sets, **options):
    options = {"seeds": 1, "steps": 40, "progress": "none"} | options
    return convsmith.lr("digits", sets=["train.precision=fp32", *sets], **options)


def reached(rate, optimizer):
    sets = [f"optimizer.learning_rate={rate}", f"optimizer.name={optimizer}", "train.epochs=4"]
    run = convsmith.train("digits", sets=[*sets, "data.validation=0.3"], progress="none")
    return run.results.val.top1


@pytest.mark.parametrize("optimizer", ["adamw", "nesterov"])
def test_the_suggested_rate_trains_nearly_as_well_as_the_best_of_a_grid(optimizer):
    found = find(f"optimizer.name={optimizer}", steps=100)
    best = max(reached(rate, optimizer) for rate in (1e-3, 1e-2, 1e-1))
    assert reached(found.suggested, optimizer) > best - 0.02


def test_a_schedule_that_warms_up_bears_more_than_the_beginning():
    warm = find("schedule=one_cycle")
    cold = find("schedule=constant")
    assert warm.sweeps == cold.sweeps
    assert (warm.warms_up, cold.warms_up) == (True, False)
    assert warm.suggested == pytest.approx(3 * cold.suggested, rel=0.05)


def test_nothing_is_changed_and_a_picture_is_all_that_is_left(tmp_path):
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.BatchNorm1d(32), nn.ReLU())
    net.append(nn.Dropout(0.2)).append(nn.Linear(32, 10)).eval()
    net[2].train()
    net[1].weight.grad = torch.ones_like(net[1].weight)
    before = copy.deepcopy(net.state_dict())
    modes = [module.training for module in net.modules()]
    torch.rand(3)
    random = torch.get_rng_state()
    found = find(model=net)
    assert torch.equal(torch.get_rng_state(), random)
    assert [module.training for module in net.modules()] == modes
    for name, tensor in net.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    assert torch.equal(net[1].weight.grad, torch.ones_like(net[1].weight))
    assert found.network == "Sequential"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lr-digits.svg"]


def test_equal_sweeps_are_equal_to_the_bit():
    first, second = find(seeds=2), find(seeds=2)
    assert first.sweeps == second.sweeps
    assert first.sweeps[0] != first.sweeps[1]


def test_accumulation_gives_the_same_curve_to_rounding():
    sets = ["model.norm=group", "model.dropout=0", "optimizer.name=sgd"]
    whole, split = find(*sets, end=1e-2), find(*sets, "train.accumulate=4", end=1e-2)
    assert split.sweeps[0].losses == pytest.approx(whole.sweeps[0].losses, rel=1e-3)


@pytest.mark.parametrize("sets", [["optimizer.name=muon"], ["train.precision=bf16"]])
def test_any_optimizer_and_precision(sets):
    found = find(*sets)
    assert found.suggested is not None
    rates = dict(each.removeprefix("optimizer.").split("=") for each in found.sets)
    assert float(rates["learning_rate"]) == found.suggested
    if "muon" in sets[0]:  # its other rate keeps its proportion
        ratio = float(rates["others_learning_rate"]) / found.suggested
        assert ratio == pytest.approx(1e-3 / found.current, rel=0.1)


def test_a_small_loader_goes_round():
    pixels = torch.randint(0, 256, (40, 1, 8, 8), dtype=torch.uint8)
    labels = torch.arange(40) % 2
    data = convsmith.own_source((pixels, labels), (pixels, labels), classes=["a", "b"])
    found = find("data.validation=0", "data.augment=none", data=data, steps=20, end=1e-3)
    assert len(found.sweeps[0].losses) == 20


def test_a_range_that_is_all_too_high_is_said():
    found = find(start=1e20, end=1e30, steps=10)
    assert found.suggested is None
    assert found.sets == ()
    assert "try a lower --start" in found.notes[0]


def test_a_range_that_begins_too_late_is_said():
    found = find(start=5.0, end=10.0)
    assert found.notes == ("the loss fell from the first rate on: a lower --start would show more",)


def test_the_picture_shows_every_sweep_and_rule(tmp_path):
    found = find(seeds=2, out=tmp_path / "picture.svg")
    drawn = found.picture.read_text()
    for words in ("sweep 1", "sweep 2", "valley", "minimum/10", "steepest descent", "1e-5"):
        assert words in drawn
    assert "var(" not in drawn
    assert drawn.count('class="line faint"') == 2


def test_the_command_prints_what_can_be_pasted_and_trains_with_it(capsys, tmp_path):
    words = ["lr", "digits", "--steps", "60", "--seeds", "1", "--epochs", "1"]
    with pytest.raises(SystemExit) as ended:
        main([*words, "--apply", "--runs", str(tmp_path / "runs")])
    assert ended.value.code == 0
    out = capsys.readouterr().out
    rate = re.search(r"--set optimizer.learning_rate=(\S+)", out)[1]
    assert f"picture: {tmp_path}" in out or "picture: lr-digits.svg" in out
    assert "test top-1" in out
    recipe = convsmith.open_run(tmp_path / "runs" / "digits-1").recipe
    assert recipe.optimizer.options["learning_rate"] == float(rate)
    with pytest.raises(SystemExit):
        main([*words, "--json"])
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told["suggested"] == float(rate)
    assert [each["rule"] for each in told["suggestions"]] == ["steepest", "valley", "tenth"]


@pytest.mark.parametrize(
    ("options", "kind", "said"),
    [
        ({"start": 1.0, "end": 0.1}, UserError, "0 < start < end, got 1 and 0.1"),
        ({"steps": 3}, UserError, "--steps must be 8 to 10,000, got 3"),
        ({"steps": 10**9}, UserError, "--steps must be 8 to 10,000, got 1,000,000,000"),
        ({"seeds": 0}, UserError, "--seeds must be at least 1"),
        ({"out": "picture.png"}, UserError, "call it picture.svg"),
        ({"out": "nowhere/lr.svg"}, UserError, "there is no folder nowhere"),
        ({"learning_rat": 1}, RecipeError, "did you mean `learning_rate`"),
    ],
)
def test_mistakes_are_one_line(options, kind, said):
    with pytest.raises(kind, match=re.escape(said)):
        find(**options)
