"""Splitting a batch further when it does not fit into memory, and undoing a step half made."""

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

__all__ = ["Buffers", "finer"]


def finer(model: nn.Module, images: int, accumulate: int) -> int | None:
    """Return the next larger number of micro-batches, or None if they cannot be smaller.

    It is the next one that divides the batch into equal parts, at most twice the present one, else
    twice the present one. BatchNorm takes no statistics of a single image where that is one value
    a channel: with it, no micro-batch has fewer than two images.
    """
    after = range(accumulate + 1, 2 * accumulate + 1)
    chosen = next((each for each in after if images % each == 0), 2 * accumulate)
    batch_norm = any(isinstance(each, _BatchNorm) and each.training for each in model.modules())
    smallest = len(torch.arange(images).chunk(chosen)[-1])
    return chosen if chosen <= images and smallest > batch_norm else None


class Buffers:
    """A network's buffers as they are now: BatchNorm's running statistics. Final."""

    def __init__(self, model: nn.Module) -> None:
        self._live = list(model.buffers())
        self._kept = [buffer.clone() for buffer in self._live]

    @torch.no_grad()
    def put_back(self) -> None:
        """Give the buffers the values that they had."""
        for live, kept in zip(self._live, self._kept, strict=True):
            live.copy_(kept)
