"""Occlusion against Captum's, and against networks whose answer is known."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from convsmith.insight.occlusion import occlusion, starts
from convsmith.models import MODELS


@pytest.mark.parametrize(("window", "stride"), [(2, 2), (4, 2), (3, 1), (8, 1)])
def test_it_is_captums(window, stride):
    captum = pytest.importorskip("captum.attr")
    model = MODELS["digits_cnn"](4, 1, (8, 8), widths=(4, 8)).eval()
    images, targets = torch.randn(2, 1, 8, 8), torch.tensor([3, 1])
    expected = captum.Occlusion(model).attribute(
        images, (1, window, window), (1, stride, stride), baselines=0.3, target=targets
    )
    found = occlusion(model, images, targets, window=window, stride=stride, baseline=0.3)
    torch.testing.assert_close(found, expected[:, 0].detach().float(), rtol=1e-4, atol=1e-5)


def test_of_a_linear_network_it_is_weight_times_value():
    model = nn.Sequential(nn.Flatten(), nn.Linear(48, 2)).requires_grad_(False)
    images = torch.randn(2, 3, 4, 4)
    found = occlusion(model, images, torch.tensor([1, 0]), window=1)
    weights = model[1].weight[[1, 0]].view(2, 3, 4, 4)
    torch.testing.assert_close(found, (weights * images).sum(1), rtol=1e-4, atol=1e-5)


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 30), st.integers(1, 30), st.integers(1, 30))
def test_windows_cover_every_place_and_end_at_the_edge(length, window, stride):
    window = min(window, length)
    stride = min(stride, window)
    covered = {
        place for start in starts(length, window, stride) for place in range(start, start + window)
    }
    assert covered == set(range(length))


def test_gaps_and_windows_larger_than_the_image_are_borne():
    model = nn.Sequential(nn.Flatten(), nn.Linear(20, 2))
    images, targets = torch.randn(1, 1, 4, 5), torch.tensor([0])
    assert occlusion(model, images, targets, window=1, stride=3).isfinite().all()
    whole = occlusion(model, images, targets, window=99)
    assert whole.shape == (1, 4, 5)
