from itertools import pairwise

import torch

from convsmith.insight.likeness import order_by_likeness


def test_classes_that_are_mixed_up_stand_side_by_side():
    groups = torch.randperm(30) % 6  # six groups of five, scattered
    same = groups[:, None] == groups[None]
    matrix = (
        50 * torch.eye(30, dtype=torch.int64) + torch.where(same, 8, 0) + torch.randint(2, (30, 30))
    )
    order = order_by_likeness(matrix)
    assert sorted(order) == list(range(30))
    along = groups[list(order)].tolist()
    changes = sum(a != b for a, b in pairwise(along))
    assert changes == 5


def test_the_order_is_of_shares_not_of_counts():
    matrix = torch.tensor([[9000, 0, 1000, 0], [0, 9, 0, 1], [0, 0, 10, 0], [0, 3, 0, 7]])
    order = order_by_likeness(matrix)
    assert abs(order.index(0) - order.index(2)) == abs(order.index(1) - order.index(3)) == 1


def test_few_classes_and_no_images_have_an_order():
    for size in (1, 2, 3, 7):
        order = order_by_likeness(torch.zeros(size, size, dtype=torch.int64))
        assert sorted(order) == list(range(size))
