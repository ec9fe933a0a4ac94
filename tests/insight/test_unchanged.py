"""What may happen inside ``unchanged``; that nothing is left of it is in test_side_effects.py."""

import torch
from torch import nn

from convsmith.insight.unchanged import unchanged


def test_the_network_is_in_evaluation_mode_and_gradients_can_be_taken():
    model = nn.Sequential(nn.Linear(2, 2), nn.Dropout()).train()
    with torch.inference_mode(), unchanged(model):
        x = torch.ones(1, 2, requires_grad=True)
        assert not model[1].training
        (gradient,) = torch.autograd.grad(model(x).sum(), x)
    assert gradient.abs().sum() > 0
    assert model[1].training


def test_a_buffer_that_was_replaced_is_put_back():
    model = nn.BatchNorm1d(3)
    own = model.running_mean
    with unchanged(model):
        model.running_mean = torch.ones(3)
        model.running_var.fill_(float("nan"))
    assert model.running_mean is own
    assert torch.equal(model.running_var, torch.ones(3))


def test_a_backward_pass_that_was_waiting_still_works():
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)).eval()
    waiting = model(torch.ones(4, 2)).sum()
    with unchanged(model):
        model(torch.ones(1, 2))
    waiting.backward()
