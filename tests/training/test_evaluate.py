"""Evaluation: every image counts once, and nothing is changed by looking."""

import copy

import pytest
import torch
from torch import nn

from convsmith.errors import DataError
from convsmith.training.evaluate import evaluate, rank
from convsmith.training.losses import cross_entropy
from convsmith.training.precision import make_precision

PRECISION = make_precision("fp32", torch.device("cpu"))


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(12, 7), nn.BatchNorm1d(7), nn.Dropout(0.5))


def batches(images, labels, size):
    return list(zip(images.split(size), labels.split(size), strict=True))


IMAGES, LABELS = torch.randn(53, 3, 2, 2), torch.arange(53) % 7


@pytest.mark.parametrize("size", [1, 10, 53])
def test_averages_weigh_each_image_equally_whatever_the_last_batch(size):
    model = net()
    found = evaluate(model, batches(IMAGES, LABELS, size), cross_entropy(7), PRECISION)
    with torch.no_grad():
        logits = model.eval()(IMAGES)
    assert found.loss == pytest.approx(float(nn.functional.cross_entropy(logits, LABELS)), rel=1e-5)
    assert found.top1 == pytest.approx(float((logits.argmax(1) == LABELS).double().mean()))
    five = (logits.topk(5).indices == LABELS[:, None]).any(1).double().mean()
    assert found.top5 == pytest.approx(float(five))
    for label, accuracy in enumerate(found.per_class):
        mine = logits[label == LABELS].argmax(1) == label
        assert accuracy == pytest.approx(float(mine.double().mean()))
    assert found.count == 53


def test_looking_changes_nothing():
    model = net().train()
    model[3].eval()
    model(IMAGES).sum().backward()
    before, grads = copy.deepcopy(model.state_dict()), [p.grad.clone() for p in model.parameters()]
    random_state = torch.get_rng_state()
    evaluate(model, batches(IMAGES, LABELS, 8), cross_entropy(7), PRECISION)
    assert [module.training for module in model] == [True, True, True, False]
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert all(torch.equal(p.grad, g) for p, g in zip(model.parameters(), grads, strict=True))
    assert torch.equal(torch.get_rng_state(), random_state)


def test_modes_come_back_even_if_the_network_fails():
    model = net().train()
    with pytest.raises(RuntimeError):
        evaluate(model, batches(torch.randn(4, 5), LABELS[:4], 2), cross_entropy(7), PRECISION)
    assert all(module.training for module in model.modules())


def test_a_broken_network_is_never_right():
    class Broken(nn.Module):
        def forward(self, images):
            return torch.full((len(images), 7), torch.nan)

    found = evaluate(Broken(), batches(IMAGES, LABELS, 8), cross_entropy(7), PRECISION)
    assert (found.top1, found.top5) == (0, 0)


def test_equal_logits_rank_in_the_order_of_the_classes_like_argmax():
    logits = torch.zeros(3, 4)
    assert rank(logits, torch.tensor([0, 1, 3])).tolist() == [0, 1, 3]


def test_no_image_is_an_error():
    with pytest.raises(DataError, match="no image"):
        evaluate(net(), [], cross_entropy(7), PRECISION)
