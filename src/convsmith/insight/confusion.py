"""Which classes are taken for which."""

from torch import Tensor

__all__ = ["confusion_matrix"]


def confusion_matrix(labels: Tensor, guesses: Tensor, classes: int) -> Tensor:
    """Return ``(classes, classes)`` counts: rows are the labels, columns the guesses.

    Args:
        labels: ``(N,)`` int64.
        guesses: ``(N,)`` int64, the likeliest class of each image.
        classes: how many there are.
    """
    flat = (labels * classes + guesses).bincount(minlength=classes * classes)
    return flat.view(classes, classes)
