"""PyTorch's optimizers without its compiler, which each of them imports and none here uses.

That import takes nearly as long as PyTorch's own, and serves marks that only the compiler reads.
"""

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch.optim import Optimizer

__all__ = ["SGD", "Adam", "AdamW", "OrthogonalMomentum", "Uncompiled"]


def eager(method: Callable[..., Any]) -> Any:
    """Return a method as it was before PyTorch marked it for the compiler."""
    return inspect.unwrap(method)


def step_of(kind: type[Optimizer]) -> Any:
    """Return an optimizer's step, which needs no gradients of its own."""
    return torch.no_grad()(eager(kind.step))


class Uncompiled(Optimizer):
    """What all optimizers share."""

    add_param_group = eager(Optimizer.add_param_group)
    load_state_dict = eager(Optimizer.load_state_dict)
    state_dict = eager(Optimizer.state_dict)
    zero_grad = eager(Optimizer.zero_grad)


class SGD(Uncompiled, torch.optim.SGD):
    """``torch.optim.SGD``, its momentum zero at first and not missing. Final.

    The fused step fails where only some parameters have one: those that thaw late.
    """

    step = step_of(torch.optim.SGD)

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        for group in self.param_groups:
            for parameter in group["params"] if group["momentum"] else ():
                self.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)


class Adam(Uncompiled, torch.optim.Adam):
    """``torch.optim.Adam``. Final."""

    step = step_of(torch.optim.Adam)


class AdamW(Uncompiled, torch.optim.AdamW):
    """``torch.optim.AdamW``. Final."""

    step = step_of(torch.optim.AdamW)


class OrthogonalMomentum(Uncompiled, torch.optim.Muon):
    """``torch.optim.Muon``. Final."""

    step = step_of(torch.optim.Muon)
