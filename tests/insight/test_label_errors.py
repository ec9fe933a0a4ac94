"""Confident learning against cleanlab, and against labels that were made wrong on purpose."""

import numpy
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.model_selection import cross_val_predict

from convsmith.insight.label_errors import find_label_errors


def probabilities(images, classes):
    """Probabilities that lean to their labels, and the labels."""
    labels = torch.randint(classes, (images,))
    logits = torch.randn(images, classes, dtype=torch.float64) * 2
    logits[torch.arange(images), labels] += 2
    return logits.softmax(1), labels


@pytest.mark.parametrize(("images", "classes"), [(60, 2), (500, 5), (2000, 20)])
def test_what_is_found_is_what_cleanlab_finds(images, classes):
    count, filtering = (
        pytest.importorskip(f"cleanlab.{name}", exc_type=ImportError)
        for name in ("count", "filter")
    )
    given, labels = probabilities(images, classes)
    found = find_label_errors(given, labels)
    thresholds = count.get_confident_thresholds(labels.numpy(), given.numpy())
    assert found.thresholds.tolist() == pytest.approx(thresholds, abs=1e-6)
    theirs = filtering.find_label_issues(
        labels.numpy(),
        given.numpy(),
        filter_by="confident_learning",
        return_indices_ranked_by="normalized_margin",
    )
    # cleanlab takes the likeliest of all classes where several are confident, the paper the
    # likeliest of those that are
    confident = given >= found.thresholds - 1e-6
    best = given.argmax(1)
    apart = (confident.sum(1) > 1) & ~confident[torch.arange(images), best]
    assert apart.float().mean() < 0.1
    alike = [index for index in theirs.tolist() if not apart[index]]
    assert [index for index in found.indices.tolist() if not apart[index]] == alike
    assert len(alike) > 0


def test_wrong_labels_of_real_digits_are_found():
    pixels, labels = load_digits(return_X_y=True)
    random = numpy.random.default_rng(0)
    wrong = random.choice(len(labels), 90, replace=False)  # 5 %
    given = labels.copy()
    given[wrong] = (labels[wrong] + random.integers(1, 10, 90)) % 10
    model = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.1)
    held_out = cross_val_predict(model, pixels, given, cv=3, method="predict_proba")
    found = find_label_errors(torch.from_numpy(held_out), torch.from_numpy(given))
    indices = set(found.indices.tolist())
    hits = indices & set(wrong.tolist())
    assert len(hits) > 0.8 * 90
    assert len(hits) > 0.5 * len(indices)
    first = found.indices[:40].tolist()
    assert len(set(first) & set(wrong.tolist())) > 36  # the likeliest come first
    suggested = dict(zip(found.indices.tolist(), found.suggested.tolist(), strict=True))
    assert sum(suggested[index] == labels[index] for index in hits) > 0.9 * len(hits)


def test_a_label_that_nothing_contradicts_is_no_error():
    given, labels = torch.eye(3, dtype=torch.float64), torch.arange(3)
    found = find_label_errors(given, labels)
    assert len(found.indices) == 0
    assert found.joint.tolist() == torch.eye(3).tolist()


def test_a_class_without_an_image_is_suggested_to_none():
    given = torch.tensor([[0.1, 0.0, 0.9], [0.6, 0.4, 0.0], [0.2, 0.8, 0.0]])
    found = find_label_errors(given, torch.tensor([0, 0, 1]))
    assert found.thresholds[2] == float("inf")
    assert 2 not in found.suggested.tolist()
