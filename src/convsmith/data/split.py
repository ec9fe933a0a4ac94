"""Splitting validation from training: by seed, each class in proportion."""

import torch
from torch import Tensor

from convsmith.errors import DataError
from convsmith.randomness import generator

__all__ = ["stratified_split"]


def stratified_split(labels: Tensor, fraction: float, seed: int) -> tuple[Tensor, Tensor]:
    """Return the indices that stay and those held out, both in rising order.

    Of every class ``fraction`` is held out, rounded, but at least one image if the class has two.

    Args:
        labels: ``(N,)`` int64.
        fraction: above 0 and below 1.
        seed: equal seeds give equal splits.

    Raises:
        DataError: nothing would be held out, or nothing would stay.
    """
    draw = generator(seed, "validation split")
    held_out = torch.zeros(len(labels), dtype=torch.bool)
    for label in labels.unique().tolist():
        members = (labels == label).nonzero().flatten()
        count = min(max(round(fraction * len(members)), 1), len(members) - 1)
        held_out[members[torch.randperm(len(members), generator=draw)[:count]]] = True
    if not held_out.any() or held_out.all():
        raise DataError(
            f"cannot hold out {fraction:.0%} of {len(labels)} images; "
            "set data.validation=0 to train on all of them"
        )
    return (~held_out).nonzero().flatten(), held_out.nonzero().flatten()
