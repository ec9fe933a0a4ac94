"""Labels that are probably wrong, by confident learning."""

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["LabelErrors", "find_label_errors"]

ROUNDING = 1e-6


@dataclass(frozen=True)
class LabelErrors:
    """What was found: rows of the probabilities, the likeliest error first.

    ``indices`` and ``suggested`` ``(M,)`` are the images and the classes they rather show;
    ``joint`` ``(K, K)`` counts the images of each label (rows) that confidently show each class;
    ``thresholds`` ``(K,)`` is the mean confidence in a class among the images labelled so,
    infinite where there are none.
    """

    indices: Tensor
    suggested: Tensor
    joint: Tensor
    thresholds: Tensor


def find_label_errors(probabilities: Tensor, labels: Tensor) -> LabelErrors:
    """Return the images that confidently show another class than their label says.

    An image shows the likeliest of the classes in which the network is at least as confident as it
    is on average in images of that class (Northcutt, Jiang & Chuang 2021, "Confident learning"). It
    is an error if that is not its label and the network does not guess its label either. The
    likeliest errors are those whose label's probability is furthest below the greatest other.

    Args:
        probabilities: ``(N, K)``, best from a network that has not seen these labels.
        labels: ``(N,)`` int64.
    """
    values = probabilities.double()
    size = values.shape[1]
    own = values.gather(1, labels[:, None])[:, 0]
    counts = labels.bincount(minlength=size)
    sums = values.new_zeros(size).index_add(0, labels, own)
    thresholds = torch.where(counts > 0, sums / counts, torch.inf)
    confident = values >= thresholds - ROUNDING
    shown = values.masked_fill(~confident, -1).argmax(1)
    any_confident = confident.any(1)
    flat = labels[any_confident] * size + shown[any_confident]
    joint = flat.bincount(minlength=size * size).view(size, size)
    wrong = any_confident & (shown != labels) & (values.argmax(1) != labels)
    others = values.scatter(1, labels[:, None], -1).amax(1)
    found = wrong.nonzero().flatten()
    found = found[(own - others)[found].argsort(stable=True)]
    return LabelErrors(found, shown[found], joint, thresholds)
