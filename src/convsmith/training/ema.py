"""The exponential moving average of a network's weights."""

import copy

import torch
from torch import Tensor, nn

__all__ = ["Ema", "everything"]


def everything(model: nn.Module) -> dict[str, Tensor]:
    """Return a network's tensors by name, with the buffers that its ``state_dict`` leaves out."""
    return dict(model.state_dict()) | dict(model.named_buffers())


class Ema:
    """A second network whose parameters follow the first's: ``a = decay * a + (1 - decay) * w``.

    Early on the decay is ``(1 + n) / (10 + n)`` for update ``n``, where that is smaller, so that
    the average forgets the initial weights. Buffers (BatchNorm's statistics) are copied. Final.
    Source: Polyak & Juditsky, 1992; the ramp as in TensorFlow's ExponentialMovingAverage.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.model = copy.deepcopy(model).requires_grad_(False)
        self.decay = decay
        self._updates = torch.zeros((), dtype=torch.int64)

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Take the network's present weights into the average."""
        self._updates += 1
        updates = int(self._updates)
        decay = min(self.decay, (1 + updates) / (10 + updates))
        averages: list[Tensor] = list(self.model.parameters())
        weights: list[Tensor] = list(model.parameters())
        torch._foreach_lerp_(averages, weights, 1 - decay)
        for average, buffer in zip(self.model.buffers(), model.buffers(), strict=True):
            average.copy_(buffer)

    def state_dict(self) -> dict[str, Tensor]:
        """Return the tensors themselves, by name; ``updates`` counts what was taken in."""
        return {"updates": self._updates} | everything(self.model)
