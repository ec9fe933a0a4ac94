import pytest
import torch
from sklearn.metrics import top_k_accuracy_score
from torchmetrics.functional.classification import multiclass_accuracy

from convsmith.insight.top_k import top_k
from convsmith.training.evaluate import rank


def test_top_k_is_scikit_learns_and_torchmetrics():
    logits, labels = torch.randn(500, 12), torch.randint(12, (500,))
    found = top_k(rank(logits, labels), 12)
    for k in range(1, 12):
        theirs = top_k_accuracy_score(labels, logits, k=k, labels=range(12))
        assert found[k - 1] == pytest.approx(theirs, abs=1e-6)
        theirs = multiclass_accuracy(logits, labels, 12, top_k=k, average="micro").item()
        assert found[k - 1] == pytest.approx(theirs, abs=1e-6)
    assert found[11] == 1


def test_images_of_a_broken_network_are_in_no_top():
    logits = torch.tensor([[float("nan"), 0.0], [1.0, 0.0]])
    assert top_k(rank(logits, torch.tensor([1, 0])), 2) == (0.5, 0.5)
