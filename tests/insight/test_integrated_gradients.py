"""Integrated gradients against Captum's, and against what they must add up to."""

import pytest
import torch
from torch import nn

from convsmith.insight.integrated_gradients import integrated_gradients
from convsmith.models import MODELS


def make():
    model = MODELS["digits_cnn"](4, 1, (8, 8), widths=(4, 8))
    images = torch.randn(3, 1, 8, 8)
    model(images)
    return model.eval(), images, torch.tensor([0, 3, 1])


def test_they_are_captums():
    captum = pytest.importorskip("captum.attr")
    model, images, targets = make()
    start = torch.randn(1, 1, 8, 8)
    expected = captum.IntegratedGradients(model).attribute(
        images, start.expand(3, -1, -1, -1), targets, n_steps=20, method="riemann_middle"
    )
    found = integrated_gradients(model, images, targets, baseline=start, steps=20)
    torch.testing.assert_close(found, expected.float(), rtol=1e-4, atol=1e-5)


def test_they_add_up_to_the_rise_of_the_logit():
    model, images, targets = make()
    shares = integrated_gradients(model, images, targets, steps=100)
    rise = model(images) - model(torch.zeros_like(images))
    torch.testing.assert_close(
        shares.sum((1, 2, 3)), rise.gather(1, targets[:, None])[:, 0], rtol=0.03, atol=0.03
    )


def test_of_a_linear_network_they_are_weight_times_value():
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 2)).requires_grad_(False)
    images = torch.randn(2, 1, 4, 4)
    found = integrated_gradients(model, images, torch.tensor([1, 0]), steps=1)
    weights = model[1].weight[[1, 0]].view(2, 1, 4, 4)
    torch.testing.assert_close(found, weights * images)
