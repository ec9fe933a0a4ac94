from itertools import pairwise

import torch
from scipy.cluster.hierarchy import cut_tree, linkage
from scipy.spatial.distance import squareform

from convsmith.insight.likeness import order_by_likeness


def mixed(groups):
    """A matrix in which classes of one group are taken for one another."""
    same = groups[:, None] == groups[None]
    size = len(groups)
    noise = torch.randint(2, (size, size))
    return 50 * torch.eye(size, dtype=torch.int64) + torch.where(same, 8, 0) + noise


def test_classes_that_are_mixed_up_stand_side_by_side():
    groups = torch.randperm(30) % 6  # six groups of five, scattered
    order = order_by_likeness(mixed(groups))
    assert sorted(order) == list(range(30))
    along = groups[list(order)].tolist()
    assert sum(a != b for a, b in pairwise(along)) == 5


def test_clusters_are_scipys_and_stand_together():
    matrix = torch.randint(1, 1000, (12, 12))
    shares = matrix.double() / matrix.sum(1, keepdim=True)
    distances = 2 - shares - shares.T
    tree = linkage(squareform(distances.fill_diagonal_(0).numpy(), checks=False), "average")
    order = order_by_likeness(matrix)
    for clusters in range(1, 13):
        along = cut_tree(tree, clusters).flatten()[list(order)].tolist()
        assert sum(a != b for a, b in pairwise(along)) == clusters - 1


def test_the_order_is_of_shares_not_of_counts():
    matrix = torch.tensor([[9000, 0, 1000, 0], [0, 9, 0, 1], [0, 0, 10, 0], [0, 3, 0, 7]])
    order = order_by_likeness(matrix)
    assert abs(order.index(0) - order.index(2)) == abs(order.index(1) - order.index(3)) == 1


def test_the_likest_ends_come_together():
    chain = torch.zeros(8, 8, dtype=torch.int64)
    names = torch.randperm(8)
    for place, (a, b) in enumerate(pairwise(names.tolist())):
        chain[a, b] = chain[b, a] = 10 + place
    order = list(order_by_likeness(chain + 100 * torch.eye(8, dtype=torch.int64)))
    assert order in (names.tolist(), names.tolist()[::-1])


def test_few_classes_and_no_images_have_an_order():
    for size in (1, 2, 3, 7):
        order = order_by_likeness(torch.zeros(size, size, dtype=torch.int64))
        assert sorted(order) == list(range(size))
