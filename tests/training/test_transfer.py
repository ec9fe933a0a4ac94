"""Fine-tuning in phases: what is frozen stays byte for byte, rates are as said."""

import pytest
import torch
from torch import nn

from convsmith.training.optimizers import OPTIMIZERS
from convsmith.training.transfer import Phases, slow_down


def network():
    torch.manual_seed(3)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Dropout(0.5),
        nn.Flatten(),
        nn.Linear(4 * 16, 3),
    )


def copy_of(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def changed(model, before):
    now = model.state_dict()
    return {name for name, tensor in before.items() if not torch.equal(tensor, now[name])}


def train(model, phases, optimizer, epoch, steps=3):
    phases.begin(model, epoch)
    for _ in range(steps):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(torch.randn(8, 1, 6, 6)), torch.arange(8) % 3)
        loss.backward()
        optimizer.step()


WEIGHTS = {"0.weight", "0.bias", "1.weight", "1.bias", "5.weight", "5.bias"}
STATISTICS = {"1.running_mean", "1.running_var", "1.num_batches_tracked"}


@pytest.mark.parametrize("name", list(OPTIMIZERS))
@pytest.mark.parametrize("freeze_norm", [False, True])
def test_only_the_head_changes_then_everything(name, freeze_norm):
    model = network()
    optimizer = OPTIMIZERS[name](model, learning_rate=0.01, weight_decay=0.1)
    phases = Phases(model, "5", head_epochs=2, freeze_norm=freeze_norm)
    before = copy_of(model)
    for epoch in (0, 1):
        train(model, phases, optimizer, epoch)
        assert changed(model, before) == {"5.weight", "5.bias"}
    train(model, phases, optimizer, 2)
    assert changed(model, before) == WEIGHTS | (set() if freeze_norm else STATISTICS)


def test_dropout_before_a_frozen_epochs_head_is_off_and_then_on():
    model = network()
    phases = Phases(model, "5", head_epochs=1, freeze_norm=False)
    for epoch, dropping in ((0, False), (1, True)):
        phases.begin(model, epoch)
        assert model[3].training == dropping
        assert model[5].training


def test_what_the_user_froze_stays_frozen():
    model = network()
    model[0].requires_grad_(False)
    phases = Phases(model, "5", head_epochs=1, freeze_norm=False)
    for epoch in (0, 1, 2):
        phases.begin(model, epoch)
        assert not model[0].weight.requires_grad


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_the_backbone_has_a_share_of_the_rate_and_every_parameter_one_group(name):
    model = network()
    options = {"learning_rate": 0.01, "weight_decay": 0.1, "decay_norm_and_bias": False}
    optimizer = OPTIMIZERS[name](model, **options)
    slow_down(optimizer, model[5].parameters(), 0.1)
    rates = {id(p): g["lr"] for g in optimizer.param_groups for p in g["params"]}
    decays = {id(p): g["weight_decay"] for g in optimizer.param_groups for p in g["params"]}
    assert len(rates) == sum(len(g["params"]) for g in optimizer.param_groups) == 6
    for key, parameter in model.named_parameters():
        assert rates[id(parameter)] == pytest.approx(0.01 if key.startswith("5") else 0.001)
        assert decays[id(parameter)] == (0.1 if parameter.ndim > 1 else 0)
    assert optimizer.param_groups[0]["lr"] == 0.01  # the rate that is shown is the head's
