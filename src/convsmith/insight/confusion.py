"""Which classes are taken for which."""

from torch import Tensor

__all__ = ["commonest_pairs", "confusion_matrix"]


def confusion_matrix(labels: Tensor, guesses: Tensor, classes: int) -> Tensor:
    """Return ``(classes, classes)`` counts: rows are the labels, columns the guesses.

    Args:
        labels: ``(N,)`` int64.
        guesses: ``(N,)`` int64, the likeliest class of each image.
        classes: how many there are.
    """
    flat = (labels * classes + guesses).bincount(minlength=classes * classes)
    return flat.view(classes, classes)


def commonest_pairs(matrix: Tensor, most: int) -> tuple[tuple[int, int], ...]:
    """Return the (label, guess) pairs with the most mistakes, of equal ones the larger share first.

    Args:
        matrix: ``(K, K)`` counts, rows are the labels.
        most: how many pairs at most.
    """
    wrong = matrix.clone().fill_diagonal_(0)
    labels, guesses = wrong.nonzero(as_tuple=True)
    images = wrong[labels, guesses]
    ranking = images + images / matrix.sum(1)[labels].double() / 2
    order = ranking.argsort(descending=True, stable=True)[:most]
    return tuple(zip(labels[order].tolist(), guesses[order].tolist(), strict=True))
