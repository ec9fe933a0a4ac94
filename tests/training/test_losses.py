"""Losses against PyTorch's own and against formulas."""

import pytest
import torch
from torch.nn import functional

from convsmith.errors import UserError
from convsmith.training.losses import cross_entropy, mse

LOGITS = torch.randn(12, 5, generator=torch.Generator().manual_seed(1))
LABELS = torch.arange(12) % 5


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_is_pytorchs_one_value_an_image(smoothing):
    found = cross_entropy(5, label_smoothing=smoothing)(LOGITS, LABELS)
    assert found.shape == (12,)
    expected = functional.cross_entropy(LOGITS, LABELS, label_smoothing=smoothing)
    torch.testing.assert_close(found.mean(), expected)


def test_label_smoothing_is_the_mixture_with_the_uniform_distribution():
    target = functional.one_hot(LABELS, 5) * 0.9 + 0.1 / 5
    expected = -(target * LOGITS.log_softmax(1)).sum(1)
    torch.testing.assert_close(cross_entropy(5, label_smoothing=0.1)(LOGITS, LABELS), expected)


def test_class_weights_scale_each_image_and_only_their_proportions_count():
    plain = cross_entropy(5)(LOGITS, LABELS)
    weighted = cross_entropy(5, class_weights=(1, 2, 3, 4, 5))(LOGITS, LABELS)
    torch.testing.assert_close(weighted, plain * (LABELS + 1) / 3)
    tenfold = cross_entropy(5, class_weights=(10, 20, 30, 40, 50))(LOGITS, LABELS)
    torch.testing.assert_close(weighted, tenfold)


def test_equal_class_weights_change_nothing():
    torch.testing.assert_close(
        cross_entropy(5, class_weights=(7.0,) * 5)(LOGITS, LABELS),
        cross_entropy(5)(LOGITS, LABELS),
    )


@pytest.mark.parametrize("weights", [(1.0, 2.0), (0.0,) * 5])
def test_class_weights_of_a_wrong_number_or_all_zero_are_refused(weights):
    with pytest.raises(UserError, match="class_weights"):
        cross_entropy(5, class_weights=weights)


def test_mse_is_between_the_softmax_and_the_one_hot_label():
    expected = functional.mse_loss(LOGITS.softmax(1), functional.one_hot(LABELS, 5).float())
    torch.testing.assert_close(mse(5)(LOGITS, LABELS).mean(), expected)


def test_mse_of_a_certain_right_answer_is_zero():
    logits = 100.0 * functional.one_hot(LABELS, 5)
    assert mse(5)(logits, LABELS).max() == 0


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("weights", [None, (1.0, 4.0, 0.5, 2.0)])
def test_the_loss_of_a_mixture_is_the_mixture_of_the_losses(smoothing, weights):
    loss = cross_entropy(4, label_smoothing=smoothing, class_weights=weights)
    logits, share = torch.randn(30, 4, generator=torch.Generator().manual_seed(0)), 0.3
    first, second = torch.arange(30) % 4, torch.arange(30) // 8
    mixed = share * functional.one_hot(first, 4) + (1 - share) * functional.one_hot(second, 4)
    expected = share * loss(logits, first) + (1 - share) * loss(logits, second)
    torch.testing.assert_close(loss(logits, mixed), expected)
