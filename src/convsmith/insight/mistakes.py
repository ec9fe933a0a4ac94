"""The images that a network is surest of and wrong about."""

from torch import Tensor

__all__ = ["most_confident_mistakes"]


def most_confident_mistakes(
    labels: Tensor, guesses: Tensor, confidences: Tensor, count: int
) -> Tensor:
    """Return the indices of up to ``count`` wrong guesses, the surest first.

    Args:
        labels: ``(N,)`` int64.
        guesses: ``(N,)`` int64, the likeliest class of each image.
        confidences: ``(N,)`` the probability given to the guess.
        count: how many at most.
    """
    wrong = (guesses != labels).nonzero().flatten()
    return wrong[confidences[wrong].argsort(descending=True, stable=True)][:count]
