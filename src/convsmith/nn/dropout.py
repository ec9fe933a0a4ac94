"""Dropout whose mask costs little on a processor."""

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["Dropout"]

LEVELS = 2**16


class Dropout(nn.Dropout):
    """While training, zero values with probability ``p`` and scale the rest by ``1 / (1 - p)``.

    Any shape. On a CPU the mask is drawn with 16 random bits a value, which is several times as
    fast as PyTorch's; ``p`` is then a multiple of 2**-16. Source: Srivastava et al., "Dropout",
    2014.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Apply dropout while training."""
        zeroed = round(self.p * LEVELS)
        if not self.training or zeroed in (0, LEVELS) or x.device.type != "cpu":
            return functional.dropout(x, self.p, self.training)
        kept = random_levels(x.numel()) >= zeroed - LEVELS // 2
        scale = LEVELS / (LEVELS - zeroed)
        return x * (kept.view(x.shape).to(x.dtype) * scale)


def random_levels(count: int) -> Tensor:
    """Return ``(count,)`` int16, uniform over all its values, from PyTorch's generator."""
    words = torch.empty((count + 3) // 4, dtype=torch.int64)
    return words.random_(-(2**63), None).view(torch.int16)[:count]
