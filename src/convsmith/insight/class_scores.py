"""Precision, recall and F1 of every class, with intervals from resampling the images."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy
import torch
from torch import Tensor

__all__ = ["ClassScores", "Interval", "class_scores", "score"]

RESAMPLES = 1000
CONFIDENCE = 0.95
MOST_COUNTS = 2_000_000  # held at a time, 16 MB


@dataclass(frozen=True)
class Interval:
    """A measured value and where it would mostly lie on other images of the same kind.

    All are NaN where the value is not defined, as the precision of a class that is never guessed.
    """

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class ClassScores:
    """One interval a class, and the means over the classes; ``accuracy`` is of all images."""

    precision: tuple[Interval, ...]
    recall: tuple[Interval, ...]
    f1: tuple[Interval, ...]
    mean_precision: Interval
    mean_recall: Interval
    mean_f1: Interval
    accuracy: Interval


def class_scores(
    matrix: Tensor, seed: int, *, resamples: int = RESAMPLES, confidence: float = CONFIDENCE
) -> ClassScores:
    """Return the scores of a confusion matrix with percentile bootstrap intervals.

    To draw N images with replacement is to draw the cells of their confusion matrix from a
    multinomial distribution, so no image is looked at again (Efron & Tibshirani 1993, ch. 13).

    Args:
        matrix: ``(K, K)`` counts, rows are the labels; at least one image.
        seed: decides the resamples.
        resamples: how many times the images are drawn.
        confidence: the share of resamples inside an interval.
    """
    measured = summary(*sums(matrix.double()[None]))
    drawn = torch.cat([summary(*part) for part in redrawn(matrix, resamples, seed)])
    ends = torch.tensor([(1 - confidence) / 2, (1 + confidence) / 2], dtype=torch.float64)
    low, high = drawn.nanquantile(ends, dim=0)
    columns = torch.stack([measured[0], low, high], 1).tolist()
    every = tuple(Interval(*column) for column in columns)
    size = len(matrix)
    precision, recall, f1 = every[:size], every[size : 2 * size], every[2 * size : 3 * size]
    return ClassScores(precision, recall, f1, *every[3 * size :])


def sums(matrix: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return, of ``(R, K, K)`` matrices, the right images, labels and guesses ``(R, K)``."""
    return matrix.diagonal(dim1=1, dim2=2), matrix.sum(2), matrix.sum(1)


def redrawn(matrix: Tensor, resamples: int, seed: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Yield what :func:`sums` returns of redrawn matrices, some at a time; empty cells stay so."""
    draw = numpy.random.default_rng(seed)
    labels, guesses = matrix.nonzero(as_tuple=True)
    counts = matrix[labels, guesses].double()
    images = int(counts.sum())
    at_once = max(1, MOST_COUNTS // len(counts))
    for start in range(0, resamples, at_once):
        rows = min(at_once, resamples - start)
        cells = draw.multinomial(images, (counts / images).numpy(), rows)
        drawn = torch.from_numpy(cells).double()
        empty = drawn.new_zeros(rows, len(matrix))
        hit = labels == guesses
        yield (
            empty.index_add(1, labels[hit], drawn[:, hit]),
            empty.index_add(1, labels, drawn),
            empty.index_add(1, guesses, drawn),
        )


def summary(right: Tensor, labels: Tensor, guesses: Tensor) -> Tensor:
    """Return ``(R, 3 K + 4)``: precision, recall and F1 by class, their means, the accuracy."""
    each = score(right, labels, guesses)
    accuracy = right.sum(1, keepdim=True) / labels.sum(1, keepdim=True)
    return torch.cat([each.flatten(1), each.nanmean(2), accuracy], 1)


def score(right: Tensor, labels: Tensor, guesses: Tensor) -> Tensor:
    """Return ``(R, 3, K)`` precision, recall and F1; NaN where nothing is to be divided by.

    F1 is 2 right / (labels + guesses), the harmonic mean of the others: 0 for a class that is
    there and never hit, NaN for one that is neither there nor guessed.
    """
    return torch.stack([right / guesses, right / labels, 2 * right / (labels + guesses)], 1)
