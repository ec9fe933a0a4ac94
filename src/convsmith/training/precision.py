"""Number formats: autocast, loss scaling, clipping, and a step that NaN cannot make."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils import clip_grads_with_norm_, get_total_norm
from torch.optim import Optimizer

from convsmith.errors import DeviceError, did_you_mean

__all__ = ["Bfloat16", "Float16", "Precision", "make_precision"]


class Precision:
    """Plain fp32. Subclasses change what they must."""

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def forward(self) -> AbstractContextManager[Any]:
        """Return the context in which the network runs."""
        return nullcontext()

    def backward(self, loss: Tensor) -> None:
        """Add the gradient of a micro-batch's share of the loss."""
        loss.backward()

    def step(
        self,
        optimizer: Optimizer,
        *,
        loss: Tensor,
        clip_norm: float | None,
        step: int,
        first_bad: Tensor,
    ) -> None:
        """Clip and make the optimizer's step, unless a loss or gradient was not finite.

        ``first_bad`` is an int64 scalar on the device: -1, or the first bad step. Once it is set no
        update happens. On a GPU, fused optimizers read it there, so nothing waits.
        """
        norm = gradient_norm(optimizer, clip_norm)
        mark(first_bad, torch.isfinite(loss) & torch.isfinite(norm), step)
        self._step_unless(optimizer, first_bad)

    def _step_unless(self, optimizer: Optimizer, first_bad: Tensor) -> None:
        if first_bad.is_cuda and getattr(optimizer, "_step_supports_amp_scaling", False):
            optimizer.found_inf = (first_bad >= 0).float()  # type: ignore[attr-defined]
            optimizer.step()
        elif int(first_bad) < 0:
            optimizer.step()

    def state_dict(self) -> dict[str, Any]:
        """Return what changes while training, as plain JSON values."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Load what :meth:`state_dict` gave."""


class Bfloat16(Precision):
    """bf16 autocast: weights and optimizer stay fp32, no scaling is needed."""

    def forward(self) -> AbstractContextManager[Any]:
        """Return bf16 autocast."""
        return torch.autocast(self.device.type, torch.bfloat16)


class Float16(Precision):
    """fp16 autocast with dynamic loss scaling (Micikevicius et al., "Mixed Precision", 2017).

    A step whose scaled gradients overflow is left out and the scale halved, which is normal; a
    loss that is itself not finite, or a scale that falls below 1, is not.
    """

    def __init__(self, device: torch.device) -> None:
        super().__init__(device)
        self._scaler = torch.amp.GradScaler(device.type)

    def forward(self) -> AbstractContextManager[Any]:
        """Return fp16 autocast."""
        return torch.autocast(self.device.type, torch.float16)

    def backward(self, loss: Tensor) -> None:
        """Add the gradient of the scaled loss."""
        self._scaler.scale(loss).backward()

    def step(
        self,
        optimizer: Optimizer,
        *,
        loss: Tensor,
        clip_norm: float | None,
        step: int,
        first_bad: Tensor,
    ) -> None:
        """Unscale, clip and step; see the class for what is left out."""
        mark(first_bad, torch.isfinite(loss), step)
        if int(first_bad) >= 0:  # the scaler waits for the device at every step in any case
            return
        self._scaler.unscale_(optimizer)
        if clip_norm is not None:
            gradient_norm(optimizer, clip_norm)
        self._scaler.step(optimizer)
        self._scaler.update()
        mark(first_bad, torch.tensor(self._scaler.get_scale() >= 1, device=first_bad.device), step)

    def state_dict(self) -> dict[str, Any]:
        """Return the scale and the steps since it last changed."""
        state = self._scaler.state_dict()
        return {"scale": state["scale"], "growth_tracker": state["_growth_tracker"]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Load what :meth:`state_dict` gave."""
        changed = {"scale": state["scale"], "_growth_tracker": state["growth_tracker"]}
        self._scaler.load_state_dict(self._scaler.state_dict() | changed)


def gradient_norm(optimizer: Optimizer, clip_norm: float | None) -> Tensor:
    """Return the 2-norm of all gradients, as it was before they are clipped to ``clip_norm``."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    with_gradient = [p for p in parameters if p.grad is not None]
    norm = get_total_norm([p.grad for p in with_gradient if p.grad is not None])
    if clip_norm is not None:
        clip_grads_with_norm_(with_gradient, clip_norm, norm)
    return norm


def mark(first_bad: Tensor, fine: Tensor, step: int) -> None:
    """Set ``first_bad`` to ``step`` if this one is not fine and none was before."""
    now = (first_bad < 0) & ~fine
    first_bad.copy_(torch.where(now, step, first_bad))


PRECISIONS: dict[str, type[Precision]] = {"fp32": Precision, "bf16": Bfloat16, "fp16": Float16}


def make_precision(name: str, device: torch.device) -> Precision:
    """Return the precision called ``fp32``, ``bf16`` or ``fp16``.

    Raises:
        DeviceError: there is no such precision.
    """
    if name not in PRECISIONS:
        raise DeviceError(f"no precision is called {name!r}{did_you_mean(name, PRECISIONS)}")
    return PRECISIONS[name](device)
