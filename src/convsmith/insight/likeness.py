"""An order of classes in which those that are taken for one another stand side by side."""

from itertools import product

import torch
from torch import Tensor

__all__ = ["order_by_likeness"]


def order_by_likeness(matrix: Tensor) -> tuple[int, ...]:
    """Return the classes of a confusion matrix, clustered by how often they are mixed up.

    The likeness of two classes is the share of each that is taken for the other. The two likest
    clusters are joined, by their mean likeness, until one is left; each time the ends that are
    likest come together (Gruvaeus & Wainer 1972). Takes ``K ** 3`` steps.

    Args:
        matrix: ``(K, K)`` counts, rows are the labels.
    """
    size = len(matrix)
    shares = matrix.double() / matrix.sum(1, keepdim=True).clamp(min=1)
    likeness = shares + shares.T
    between = likeness.clone().fill_diagonal_(-torch.inf)  # of clusters; a row is its first class
    members, orders = torch.ones(size, dtype=torch.float64), {at: [at] for at in range(size)}
    for _ in range(size - 1):
        kept, joined = divmod(int(between.argmax()), size)
        orders[kept] = join(orders[kept], orders.pop(joined), likeness)
        both = members[kept] + members[joined]
        mean = (members[kept] * between[kept] + members[joined] * between[joined]) / both
        between[kept], between[:, kept], members[kept] = mean, mean, both
        between[joined], between[:, joined] = -torch.inf, -torch.inf
    (order,) = orders.values()
    return tuple(order)


def join(first: list[int], second: list[int], likeness: Tensor) -> list[int]:
    """Return both orders in one, either of them turned round if its other end is more alike."""
    turned = product((first, first[::-1]), (second, second[::-1]))
    left, right = max(turned, key=lambda pair: float(likeness[pair[0][-1], pair[1][0]]))
    return left + right
