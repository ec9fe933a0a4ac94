"""Splitting a part from the training images: by seed, each class in proportion."""

import torch
from torch import Tensor

from convsmith.errors import DataError
from convsmith.randomness import generator

__all__ = ["grouped_split", "stratified_split"]


def stratified_split(
    labels: Tensor, fraction: float, seed: int, purpose: str = "validation"
) -> tuple[Tensor, Tensor]:
    """Return the indices that stay and those held out, both in rising order.

    Of every class ``fraction`` is held out, rounded, but at least one image if the class has two.

    Args:
        labels: ``(N,)`` int64.
        fraction: above 0 and below 1.
        seed: equal seeds give equal splits.
        purpose: ``validation`` or ``test``; each is drawn apart.

    Raises:
        DataError: nothing would be held out, or nothing would stay.
    """
    draw = generator(seed, f"{purpose} split")
    held_out = torch.zeros(len(labels), dtype=torch.bool)
    for label in labels.unique().tolist():
        members = (labels == label).nonzero().flatten()
        count = min(max(round(fraction * len(members)), 1), len(members) - 1)
        held_out[members[torch.randperm(len(members), generator=draw)[:count]]] = True
    return indices(held_out, fraction, purpose)


def grouped_split(
    labels: Tensor, groups: Tensor, fraction: float, seed: int, purpose: str = "validation"
) -> tuple[Tensor, Tensor]:
    """Return the indices that stay and those held out; no group is in both.

    Groups are taken in an order drawn by seed, each as long as it brings the classes nearer to
    ``fraction`` of theirs, as in scikit-learn's StratifiedGroupKFold.

    Args:
        labels: ``(N,)`` int64.
        groups: ``(N,)`` int64, from 0 on.
        fraction: above 0 and below 1.
        seed: equal seeds give equal splits.
        purpose: ``validation`` or ``test``; each is drawn apart.

    Raises:
        DataError: nothing would be held out, or nothing would stay.
    """
    draw = generator(seed, f"{purpose} split")
    classes, count = int(labels.max()) + 1, int(groups.max()) + 1
    table = torch.zeros(count, classes, dtype=torch.float64)
    table.index_put_((groups, labels), torch.ones(len(labels), dtype=torch.float64), True)
    wanted = fraction * table.sum(0)
    taken, chosen = torch.zeros(classes, dtype=torch.float64), torch.zeros(count, dtype=torch.bool)
    order = torch.randperm(count, generator=draw)
    order = order[table.sum(1)[order].argsort(descending=True, stable=True)]  # the largest first
    weight = 1 / table.sum(0).clamp(min=1)
    for group in order.tolist():
        with_it = taken + table[group]
        if ((with_it - wanted) * weight).square().sum() < (
            (taken - wanted) * weight
        ).square().sum():
            taken, chosen[group] = with_it, True
    return indices(chosen[groups], fraction, purpose, f" in {count} group{'s'[: count > 1]}")


def indices(
    held_out: Tensor, fraction: float, purpose: str, where: str = ""
) -> tuple[Tensor, Tensor]:
    """Return the indices of both parts; ``where`` says in what the images lie together."""
    if not held_out.any() or held_out.all():
        way = "set data.validation=0 to train on all of them"
        if purpose == "test":
            way = f"add {'groups' if where else 'images'}, or a test part of their own"
        raise DataError(f"cannot hold out {fraction:.0%} of {len(held_out)} images{where}; {way}")
    return (~held_out).nonzero().flatten(), held_out.nonzero().flatten()
