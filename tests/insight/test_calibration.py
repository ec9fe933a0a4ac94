"""Calibration against torchmetrics and scikit-learn, the temperature against a minimiser."""

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from sklearn.metrics import brier_score_loss, log_loss
from torch.nn.functional import cross_entropy
from torchmetrics.functional.classification import multiclass_calibration_error

from convsmith.insight.calibration import calibration, expected_error, fit_temperature

SEEDS = st.integers(0, 2**32)


def told(images, classes, temperature, seed=0):
    """Logits of a network whose probabilities at that temperature are true."""
    draw = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(images, classes, dtype=torch.float64, generator=draw)
    labels = logits.softmax(1).multinomial(1, generator=draw)[:, 0]
    return logits * temperature, labels


@settings(deadline=None, max_examples=30)
@given(st.integers(2, 20), st.integers(1, 400), st.floats(0.3, 2), st.floats(0.8, 2), SEEDS)
def test_errors_are_torchmetrics_and_scikit_learns(classes, images, sharpness, temperature, seed):
    logits, labels = told(images, classes, sharpness, seed)
    found = calibration(logits, labels, temperature, 0)
    probabilities = (logits / temperature).softmax(1)
    assume(probabilities.max() < 1)  # for which torchmetrics has a bin of its own
    theirs = multiclass_calibration_error(probabilities, labels, classes, n_bins=15)
    assert found.ece == pytest.approx(theirs.item(), abs=1e-6)
    confidences, right = probabilities.amax(1), probabilities.argmax(1) == labels
    assert expected_error(confidences, right) == pytest.approx(theirs.item(), abs=1e-6)
    names = range(classes)
    assert found.log_loss == pytest.approx(log_loss(labels, probabilities, labels=names), abs=1e-6)
    if images > 1:
        brier = brier_score_loss(labels, probabilities, labels=names, scale_by_half=False)
        assert found.brier == pytest.approx(brier, abs=1e-6)


def test_bins_add_up_and_hold_their_images():
    logits, labels = told(3000, 5, 1.5)
    found = calibration(logits, labels, 1.0, 0)
    assert sum(each.images for each in found.bins) == 3000
    right = sum(each.images * each.accuracy for each in found.bins)
    assert right / 3000 == pytest.approx(found.accuracy)
    assert found.accuracy == pytest.approx((logits.argmax(1) == labels).double().mean().item())
    for each in found.bins:
        assert each.low < each.confidence <= each.high
    gaps = sum(each.images * abs(each.accuracy - each.confidence) for each in found.bins)
    assert gaps / 3000 == pytest.approx(found.ece)


def test_certainty_is_in_the_last_bin():
    found = calibration(torch.tensor([[100.0, 0.0], [100.0, 0.0]]), torch.tensor([0, 1]), 1.0, 0)
    (only,) = found.bins
    assert (only.high, only.images, only.confidence, only.accuracy) == (1, 2, 1, 0.5)


def test_what_true_confidences_would_give_is_what_they_do_give():
    inside, errors, expected = [], [], []
    for seed in range(25):
        found = calibration(*told(400, 6, 1.0, seed), 1.0, seed)
        errors.append(found.ece)
        expected.append(found.ece_if_true)
        inside += [each.least <= each.accuracy <= each.most for each in found.bins]
    assert sum(errors) == pytest.approx(sum(expected), rel=0.1)
    assert 0.92 < sum(inside) / len(inside) < 0.995
    assert calibration(*told(400, 6, 4.0), 1.0, 0).ece > 3 * max(expected)


@settings(deadline=None, max_examples=10)
@given(st.integers(2, 12), st.integers(100, 600), st.floats(0.3, 5), SEEDS)
def test_the_temperature_is_the_one_that_a_general_minimiser_finds(
    classes, images, sharpness, seed
):
    logits, labels = told(images, classes, sharpness, seed)
    found = fit_temperature(logits, labels)

    def loss(temperature):
        return cross_entropy(logits / temperature, labels).item()

    reference = minimize_scalar(loss, bounds=(0.05, 20), method="bounded", options={"xatol": 1e-9})
    assert loss(found) == pytest.approx(reference.fun, abs=1e-9)
    assert found == pytest.approx(reference.x, rel=1e-3)


def test_the_temperature_undoes_what_made_a_network_too_sure():
    logits, labels = told(8000, 10, 3.0)
    assert fit_temperature(logits, labels) == pytest.approx(3.0, rel=0.05)
    logits, labels = told(8000, 10, 0.4)
    assert fit_temperature(logits.float(), labels) == pytest.approx(0.4, rel=0.05)


def test_no_temperature_is_best_where_all_is_right_or_all_is_wrong():
    logits = torch.tensor([[2.0, 0.0, -1.0], [0.0, 3.0, 1.0]])
    assert fit_temperature(logits, torch.tensor([0, 1])) is None
    assert fit_temperature(logits, torch.tensor([2, 0])) is None
    assert fit_temperature(torch.zeros(4, 3), torch.tensor([0, 1, 2, 0])) is None


def test_a_root_that_is_hit_exactly_is_kept():
    logits = torch.tensor([[1.0, 0.0]]).repeat(4, 1).double() * torch.log(torch.tensor(3.0))
    assert fit_temperature(logits, torch.tensor([0, 0, 0, 1])) == pytest.approx(1.0, abs=1e-6)
