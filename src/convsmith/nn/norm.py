"""Normalisation by batch, by group or by ghost batch: one name for each, one function for all."""

from typing import Literal

import torch
from torch import Tensor, nn

__all__ = ["GhostBatchNorm1d", "GhostBatchNorm2d", "Norm", "make_norm"]

Norm = Literal["batch", "group", "ghost"]
"""How a layer normalises: over the batch, within each image, or over parts of the batch."""

GHOST_BATCH = 32
GROUPS = 32


def make_norm(kind: Norm, channels: int, dims: Literal[1, 2] = 2) -> nn.Module:
    """Return a normalisation of images ``(N, C, H, W)``, or of vectors ``(N, C)`` at ``dims`` 1.

    Sources: Ioffe & Szegedy, "Batch Normalization", 2015; Wu & He, "Group Normalization", 2018;
    Hoffer et al., "Train longer, generalize better", 2017, for ghost batches.
    """
    if kind == "group":
        # A vector has one value a channel, and two values normalise to 1 and -1 whatever they are.
        return nn.GroupNorm(group_count(channels, least=2 if dims == 2 else 16), channels)
    if kind == "ghost":
        return GhostBatchNorm2d(channels) if dims == 2 else GhostBatchNorm1d(channels)
    return nn.BatchNorm2d(channels) if dims == 2 else nn.BatchNorm1d(channels)


def group_count(channels: int, least: int) -> int:
    """Return the largest divisor of ``channels`` up to 32 that leaves ``least`` channels a group.

    One group where there is no other. With ``least`` 2, multiples of 32 from 64 on have the 32
    groups of the paper, 32 channels have 16 and 17 channels have one.
    """
    most = max(1, min(GROUPS, channels // least))
    return max(count for count in range(1, most + 1) if channels % count == 0)


class GhostBatches(nn.modules.batchnorm._BatchNorm):
    """While training, normalise each ghost batch by itself, as BatchNorm would, one after another.

    A batch is split evenly into as few ghost batches of at most 32 as there can be. The running
    statistics move once for each. In evaluation it is BatchNorm, and so is its state.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Apply it to a batch."""
        normalise = super().forward
        if not self.training or len(x) <= GHOST_BATCH:
            return normalise(x)
        # chunk() may leave a last part of a single image, which has no variance.
        ghosts = x.tensor_split(-(-len(x) // GHOST_BATCH))
        return torch.cat([normalise(ghost) for ghost in ghosts])


class GhostBatchNorm1d(GhostBatches, nn.BatchNorm1d):
    """BatchNorm1d over ghost batches: ``(N, C)`` to the same shape. Final."""


class GhostBatchNorm2d(GhostBatches, nn.BatchNorm2d):
    """BatchNorm2d over ghost batches: ``(N, C, H, W)`` to the same shape. Final."""
