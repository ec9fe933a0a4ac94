"""Fine-tuning in two phases: the last layer alone, then everything, the rest at a lower rate."""

from collections.abc import Iterable
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

__all__ = ["Phases", "slow_down"]


class Phases:
    """What may change in which epoch. Final.

    For ``head_epochs`` only the head learns: every other parameter is without gradient and every
    other module in evaluation mode, so all of it stays byte for byte what it was. After that
    everything learns; with ``freeze_norm`` the running statistics of BatchNorm stay for good.
    """

    def __init__(self, model: nn.Module, head: str, *, head_epochs: int, freeze_norm: bool) -> None:
        self._head = head
        self._head_epochs = head_epochs
        self._freeze_norm = freeze_norm
        self._trainable = {name for name, p in model.named_parameters() if p.requires_grad}

    def begin(self, model: nn.Module, epoch: int) -> None:
        """Prepare a network for an epoch, counted from 0: modes and what has a gradient."""
        model.train()
        head_only = epoch < self._head_epochs
        for name, parameter in model.named_parameters():
            learns = name in self._trainable and (not head_only or self._in_head(name))
            parameter.requires_grad_(learns)
            if not learns:
                parameter.grad = None
        for name, module in model.named_modules():
            if head_only and not self._in_head(name):
                module.training = False
            elif self._freeze_norm and isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()

    def _in_head(self, name: str) -> bool:
        return name == self._head or name.startswith(f"{self._head}.")


def slow_down(optimizer: Optimizer, head: Iterable[Tensor], factor: float) -> None:
    """Give all parameters but the head's ``factor`` times the learning rate.

    The optimizer must not have made a step. The head's groups come first.
    """
    chosen = {id(parameter) for parameter in head}
    heads: list[dict[str, Any]] = []
    others: list[dict[str, Any]] = []
    for group in optimizer.param_groups:
        near = [p for p in group["params"] if id(p) in chosen]
        far = [p for p in group["params"] if id(p) not in chosen]
        heads += [group | {"params": near}] if near else []
        others += [group | {"params": far, "lr": group["lr"] * factor}] if far else []
    optimizer.param_groups[:] = [*heads, *others]
