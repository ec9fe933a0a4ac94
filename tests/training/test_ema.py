"""The moving average against its formula."""

import copy

import torch
from torch import nn

from convsmith.training.ema import Ema


def net():
    return nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))


def test_the_average_is_the_recurrence_with_its_ramp():
    model = net()
    ema = Ema(model, 0.9)
    expected = model[0].weight.detach().clone()
    for update in range(1, 120):
        with torch.no_grad():
            model[0].weight += torch.randn(3, 4)
        ema.update(model)
        decay = min(0.9, (1 + update) / (10 + update))
        expected = decay * expected + (1 - decay) * model[0].weight.detach()
    torch.testing.assert_close(ema.model[0].weight, expected)


def test_buffers_are_copied_and_the_network_is_left_alone():
    model = net()
    ema = Ema(model, 0.99)
    model(torch.randn(8, 4))
    before = copy.deepcopy(model.state_dict())
    ema.update(model)
    assert torch.equal(ema.model[1].running_mean, model[1].running_mean)
    assert int(ema.model[1].num_batches_tracked) == 1
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name])


def test_the_average_of_weights_that_stand_still_is_those_weights():
    model = net()
    ema = Ema(model, 0.5)
    for _ in range(10):
        ema.update(model)
    torch.testing.assert_close(ema.model[0].weight, model[0].weight)
