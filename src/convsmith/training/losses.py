"""Losses, one value an image: the loop divides their sum by the effective batch itself."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from convsmith.bounds import Fraction, NonNegative
from convsmith.errors import UserError

__all__ = ["LOSSES", "Loss", "cross_entropy", "mse"]

Loss = nn.Module
"""Maps logits ``(N, K)`` float32 and labels to losses ``(N,)``.

Labels are ``(N,)`` int64, or ``(N, K)`` float32 shares where images were mixed.
"""


class CrossEntropy(nn.Module):
    """See :func:`cross_entropy`."""

    weights: Tensor | None

    def __init__(self, weights: Tensor | None, label_smoothing: float) -> None:
        super().__init__()
        self.register_buffer("weights", weights)
        self.label_smoothing = label_smoothing

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the loss of every image; that of a mixed one is the mixture of both losses."""
        smoothing = self.label_smoothing
        if self.weights is not None and labels.ndim == 2:
            logs, shares = logits.log_softmax(1), labels * self.weights
            wanted, all_alike = (shares * logs).sum(1), shares.sum(1) * logs.mean(1)
            return -((1 - smoothing) * wanted + smoothing * all_alike)
        losses = functional.cross_entropy(
            logits, labels, reduction="none", label_smoothing=smoothing
        )
        return losses if self.weights is None else losses * self.weights[labels]


def cross_entropy(
    num_classes: int,
    *,
    label_smoothing: Fraction = 0.0,
    class_weights: tuple[NonNegative, ...] | None = None,
) -> Loss:
    """Cross-entropy, in nats.

    ``class_weights`` multiply the loss of an image by its class's weight; they are scaled to a mean
    of 1 over the classes. Unlike in ``torch.nn.CrossEntropyLoss``, the mean over a batch divides by
    the number of images, not by the sum of their weights, so that a batch may be split.

    Raises:
        UserError: not one weight a class, or all zero.
    """
    weights = None
    if class_weights is not None:
        if len(class_weights) != num_classes or sum(class_weights) == 0:
            raise UserError(
                f"loss.class_weights: {len(class_weights)} weights for {num_classes} classes; "
                "give one a class, not all zero"
            )
        weights = torch.tensor(class_weights, dtype=torch.float32)
        weights = weights / weights.mean()
    return CrossEntropy(weights, label_smoothing)


class MeanSquaredError(nn.Module):
    """See :func:`mse`."""

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the loss of every image."""
        target = labels if labels.ndim == 2 else functional.one_hot(labels, logits.shape[1])
        return (logits.softmax(1) - target).square().mean(1)


def mse(num_classes: int) -> Loss:
    """Mean squared error between the softmax and the one-hot label (the Brier score over K)."""
    return MeanSquaredError()


LOSSES: dict[str, Callable[..., Loss]] = {"cross_entropy": cross_entropy, "mse": mse}
