"""An order of classes in which those that are taken for one another stand side by side."""

import numpy
from scipy.cluster.hierarchy import leaves_list, linkage, optimal_leaf_ordering
from scipy.spatial.distance import squareform
from torch import Tensor

__all__ = ["order_by_likeness"]


def order_by_likeness(matrix: Tensor) -> tuple[int, ...]:
    """Return the classes of a confusion matrix, clustered by how often they are mixed up.

    The distance of two classes is 1 less the mean share of each that is taken for the other;
    clusters are joined by their mean distance, and their leaves turned so that neighbours are as
    near as they can be (Bar-Joseph et al. 2001). Takes about ``K ** 3`` steps.

    Args:
        matrix: ``(K, K)`` counts, rows are the labels.
    """
    if len(matrix) < 3:
        return tuple(range(len(matrix)))
    counts = matrix.double().numpy()
    shares = counts / numpy.maximum(counts.sum(1, keepdims=True), 1)
    distances = 1 - (shares + shares.T) / 2
    numpy.fill_diagonal(distances, 0)
    pairs = squareform(distances, checks=False)
    tree = optimal_leaf_ordering(linkage(pairs, "average"), pairs)
    return tuple(leaves_list(tree).tolist())
