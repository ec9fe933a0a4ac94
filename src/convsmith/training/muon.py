"""Muon for networks of convolutions: each filter bank is orthogonalised as one matrix."""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from convsmith.training.uncompiled import SGD, AdamW, OrthogonalMomentum, Uncompiled

__all__ = ["Muon", "as_matrix", "matrices"]

OTHERS: dict[str, tuple[Callable[..., Optimizer], dict[str, Any]]] = {
    "adamw": (AdamW, {}),
    "sgd": (SGD, {"momentum": 0.9, "nesterov": True}),
}


def matrices(model: nn.Module) -> list[Tensor]:
    """Return the weights that Muon is for: of all convolutions and linear layers between the ends.

    The first and the last such layer are left out, and so is all that is no filter or matrix, such
    as embeddings and scales.
    """
    learnt = {id(each) for each in model.parameters()}  # a parametrised weight is computed
    layers = [
        each
        for each in model.modules()
        if isinstance(each, nn.Conv2d | nn.Linear) and id(each.weight) in learnt
    ]
    ends = {id(layer.weight) for layer in (*layers[:1], *layers[-1:])}
    inner = {id(layer.weight): layer.weight for layer in layers}  # a tied weight counts once
    return [p for key, p in inner.items() if key not in ends and p.requires_grad]


def as_matrix(tensor: Tensor) -> Tensor:
    """Return a filter bank ``(out, in, kh, kw)`` as a matrix ``(out, in*kh*kw)``, not copied.

    The order of the columns is that of the memory; orthogonalising does not depend on it.
    """
    if tensor.ndim == 2:
        return tensor
    if tensor.is_contiguous():
        return tensor.view(len(tensor), -1)
    return tensor.permute(0, 2, 3, 1).view(len(tensor), -1)


class Muon(Uncompiled):
    """``torch.optim.Muon`` on matrix views of the filters, and AdamW or SGD for the rest.

    ``torch.optim.Muon`` takes two-dimensional parameters only: it gets matrices that share the
    filters' storage, and their gradients before each step. Its update is scaled by
    ``sqrt(max(1, rows/columns))``, so one rate serves layers of all shapes. Final.
    """

    def __init__(
        self,
        filters: Sequence[Tensor],
        rest: Sequence[dict[str, Any]],
        *,
        learning_rate: float,
        momentum: float,
        newton_schulz_steps: int,
        weight_decay: float,
        others: Literal["adamw", "sgd"],
        others_learning_rate: float,
    ) -> None:
        self._filters = list(filters)
        self._matrices = [nn.Parameter(as_matrix(each.detach())) for each in filters]
        self._parts: list[Optimizer] = []
        if self._matrices:
            muon = OrthogonalMomentum(
                self._matrices,
                lr=learning_rate,
                momentum=momentum,
                ns_steps=newton_schulz_steps,
                weight_decay=weight_decay,
            )
            self._parts.append(muon)
        if rest:
            kind, options = OTHERS[others]
            chosen = kind(list(rest), lr=others_learning_rate, fused=True, **options)
            self._parts.append(chosen)
        super().__init__(self._visible_groups(), {})

    def _visible_groups(self) -> list[dict[str, Any]]:
        """Return the groups as others see them: with the network's filters, not the matrices."""
        groups = [group for part in self._parts for group in part.param_groups]
        if self._matrices:
            groups[0] = groups[0] | {"params": self._filters}
        return groups

    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Make one step of every part at the groups' present rates."""
        for matrix, filters in zip(self._matrices, self._filters, strict=True):
            if matrix.data_ptr() != filters.data_ptr():  # the model was moved or changed its layout
                matrix.data = as_matrix(filters.detach())
            matrix.grad = None if filters.grad is None else as_matrix(like(filters.grad, filters))
        inner = [group for part in self._parts for group in part.param_groups]
        for hidden, visible in zip(inner, self.param_groups, strict=True):
            hidden["lr"] = visible["lr"]
        for part in self._parts:
            part.step()

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients."""
        for filters in self._filters:
            filters.grad = None
        for part in self._parts:
            part.zero_grad(set_to_none=True)

    def state_dict(self) -> dict[str, Any]:
        """Return the parts' states under one numbering, as ``torch.optim`` does."""
        state: dict[int, Any] = {}
        offset = 0
        for part in self._parts:
            inner = part.state_dict()
            state |= {index + offset: values for index, values in inner["state"].items()}
            offset += sum(len(group["params"]) for group in part.param_groups)
        groups = [part.state_dict()["param_groups"] for part in self._parts]
        return {"state": state, "param_groups": groups}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load what :meth:`state_dict` gave."""
        offset = 0
        for part, groups in zip(self._parts, state_dict["param_groups"], strict=True):
            count = sum(len(group["params"]) for group in part.param_groups)
            own = {
                index - offset: values
                for index, values in state_dict["state"].items()
                if offset <= index < offset + count
            }
            part.load_state_dict({"state": own, "param_groups": groups})
            offset += count


def like(gradient: Tensor, parameter: Tensor) -> Tensor:
    """Return the gradient in its parameter's memory layout."""
    if gradient.stride() == parameter.stride():
        return gradient
    return torch.empty_like(parameter).copy_(gradient)
