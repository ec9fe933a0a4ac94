"""Networks of a user's own: whatever they are made of is trained, kept and resumed, or refused."""

import signal

import pytest
import torch
from torch import nn

import convsmith
from convsmith.api import drive
from convsmith.errors import Interrupted, ModelError
from convsmith.training import precision_auto


class Tied(nn.Module):
    """Two layers with one weight."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(1)
        self.first, self.second = nn.Linear(64, 64), nn.Linear(64, 64)
        self.second.weight = self.first.weight
        self.head = nn.Linear(64, 10)

    def forward(self, x):
        return self.head(self.second(self.first(x.flatten(1)).relu()).relu())


class Counting(nn.Module):
    """Has a buffer that its state_dict leaves out, and that decides what it computes."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(1)
        self.head = nn.Linear(64, 10)
        self.register_buffer("seen", torch.zeros(()), persistent=False)

    def forward(self, x):
        if self.training:
            self.seen += 1
        return self.head(x.flatten(1)) * (1 + self.seen / 10)


class Stateful(Tied):
    def get_extra_state(self):
        return {"a": 1}

    def set_extra_state(self, state):
        pass


class Expanded(Tied):
    def __init__(self):
        super().__init__()
        self.register_buffer("scale", torch.ones(1).expand(10))


class Blind(Tied):
    """Says nothing finite about images that it does not learn from."""

    def forward(self, x):
        return super().forward(x) if self.training else super().forward(x) * torch.inf


SETS = ("train.precision=fp32", "train.memory_format=contiguous", "train.epochs=2")


def trained(make, runs, *, sets=(), **keywords):
    return convsmith.train(
        "digits", model=make(), runs=runs, progress="none", sets=(*SETS, *sets), **keywords
    )


def weights(run):
    return (run.path / "weights.safetensors").read_bytes()


@pytest.mark.parametrize("make", [Tied, Counting])
def test_it_resumes_to_the_same_bits(make, tmp_path, monkeypatch):
    sets = ("train.ema=0.9",)
    straight = trained(make, tmp_path / "straight", sets=sets)
    original = drive.PaceKeeper.step

    def stop(keeper, event):
        original(keeper, event)
        if event.step == 13:
            signal.raise_signal(signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(drive.PaceKeeper, "step", stop)
        with pytest.raises(Interrupted):
            trained(make, tmp_path, sets=sets, name="run")
    resumed = convsmith.train(resume=tmp_path / "run", model=make(), progress="none")
    assert weights(resumed) == weights(straight)
    assert resumed.results.test == straight.results.test


def test_tied_weights_are_loaded_and_stay_tied(tmp_path):
    run = trained(Tied, tmp_path)
    model = convsmith.load(run.path, module=Tied())
    assert model.module.first.weight is model.module.second.weight
    found = convsmith.evaluate(run.path, model=Tied())
    assert found.score == run.results.test


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (Stateful, "keeps a dict in its state_dict"),
        (Expanded, "scale is an expanded tensor; make it one with .clone()"),
    ],
)
def test_what_no_checkpoint_can_hold_is_said_before_there_is_a_run(make, said, tmp_path):
    with pytest.raises(ModelError, match=said):
        trained(make, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_run_whose_evaluation_is_not_finite_still_finishes(tmp_path):
    sets = ("train.early_stopping.patience=1", "train.epochs=3")
    run = trained(Blind, tmp_path, sets=sets)
    assert run.results.test.loss is None
    assert run.results.epochs == 1  # nothing was ever better
    assert "not finite" in str(run.results.test)
    assert "report.html" in {path.name for path in run.path.iterdir()}


def test_its_precision_is_measured_anew_since_another_network_may_have_its_name(
    tmp_path, monkeypatch
):
    measured = []
    original = precision_auto.measure_now
    monkeypatch.setattr(
        precision_auto, "measure_now", lambda *a: measured.append(1) or original(*a)
    )
    for name in ("a", "b"):
        sets = ("train.precision=auto",)
        run = trained(Tied, tmp_path, sets=sets, name=name)
        assert run.recipe.train.precision in ("fp32", "bf16")
    assert len(measured) == 2


def test_looking_at_a_run_leaves_the_network_that_is_given_as_it_is(tmp_path):
    run = convsmith.train("digits", model=Tied(), epochs=1, runs=tmp_path, progress="none")
    given = Tied()
    with torch.no_grad():
        given.head.bias.fill_(7)
    before = {name: value.clone() for name, value in given.state_dict().items()}
    convsmith.evaluate(run.path, model=given)
    convsmith.export(run.path, model=given)
    convsmith.compress(run.path, ["fuse"], model=given, images=20, batches=[1])
    assert all(torch.equal(value, before[name]) for name, value in given.state_dict().items())
