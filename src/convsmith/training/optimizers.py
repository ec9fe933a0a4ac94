"""Optimizers, by the names people type, with PyTorch's fused steps: one pass over memory each."""

from collections.abc import Callable
from typing import Literal

from torch import nn
from torch.optim import Optimizer

from convsmith.bounds import Count, Fraction, NonNegative, Positive
from convsmith.training.muon import Muon, matrices
from convsmith.training.uncompiled import SGD, Adam, AdamW

__all__ = ["OPTIMIZERS", "parameter_groups"]


def parameter_groups(
    model: nn.Module, weight_decay: float, decay_norm_and_bias: bool
) -> list[dict[str, object]]:
    """Return the trainable parameters in one group, or with norms and biases apart without decay.

    Norms and biases are the parameters of fewer than two dimensions.
    """
    trainable = [p for p in model.parameters() if p.requires_grad]
    if decay_norm_and_bias or weight_decay == 0:
        return [{"params": trainable, "weight_decay": weight_decay}]
    wide = [p for p in trainable if p.ndim >= 2]
    narrow = [p for p in trainable if p.ndim < 2]
    groups: list[dict[str, object]] = [
        {"params": wide, "weight_decay": weight_decay},
        {"params": narrow, "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def sgd(
    model: nn.Module,
    *,
    learning_rate: Positive = 0.1,
    momentum: Fraction = 0.0,
    nesterov: bool = False,
    weight_decay: NonNegative = 0.0,
    decay_norm_and_bias: bool = True,
) -> Optimizer:
    """Stochastic gradient descent, plain unless a momentum is given."""
    groups = parameter_groups(model, weight_decay, decay_norm_and_bias)
    nesterov = nesterov and momentum > 0
    return SGD(groups, learning_rate, momentum, nesterov=nesterov, fused=True)


def momentum(
    model: nn.Module,
    *,
    learning_rate: Positive = 0.1,
    momentum: Fraction = 0.9,
    weight_decay: NonNegative = 0.0,
    decay_norm_and_bias: bool = True,
) -> Optimizer:
    """Stochastic gradient descent with heavy-ball momentum (Polyak, 1964)."""
    return sgd(
        model,
        learning_rate=learning_rate,
        momentum=momentum,
        weight_decay=weight_decay,
        decay_norm_and_bias=decay_norm_and_bias,
    )


def nesterov(
    model: nn.Module,
    *,
    learning_rate: Positive = 0.1,
    momentum: Fraction = 0.9,
    weight_decay: NonNegative = 0.0,
    decay_norm_and_bias: bool = True,
) -> Optimizer:
    """Stochastic gradient descent with Nesterov momentum (Sutskever et al., 2013)."""
    return sgd(
        model,
        learning_rate=learning_rate,
        momentum=momentum,
        nesterov=True,
        weight_decay=weight_decay,
        decay_norm_and_bias=decay_norm_and_bias,
    )


def adam(
    model: nn.Module,
    *,
    learning_rate: Positive = 1e-3,
    beta1: Fraction = 0.9,
    beta2: Fraction = 0.999,
    eps: Positive = 1e-8,
    weight_decay: NonNegative = 0.0,
    decay_norm_and_bias: bool = True,
) -> Optimizer:
    """Adam (Kingma & Ba, 2014); its weight decay is added to the gradient."""
    groups = parameter_groups(model, weight_decay, decay_norm_and_bias)
    return Adam(groups, learning_rate, (beta1, beta2), eps, fused=True)


def adamw(
    model: nn.Module,
    *,
    learning_rate: Positive = 1e-3,
    beta1: Fraction = 0.9,
    beta2: Fraction = 0.999,
    eps: Positive = 1e-8,
    weight_decay: NonNegative = 0.01,
    decay_norm_and_bias: bool = True,
) -> Optimizer:
    """Adam with decoupled weight decay (Loshchilov & Hutter, 2017)."""
    groups = parameter_groups(model, weight_decay, decay_norm_and_bias)
    return AdamW(groups, learning_rate, (beta1, beta2), eps, fused=True)


def muon(
    model: nn.Module,
    *,
    learning_rate: Positive = 0.02,
    momentum: Fraction = 0.95,
    newton_schulz_steps: Count = 5,
    weight_decay: NonNegative = 0.0,
    others: Literal["adamw", "sgd"] = "adamw",
    others_learning_rate: Positive = 1e-3,
    decay_norm_and_bias: bool = True,
) -> Optimizer:
    """Muon for the filters and hidden layers, another optimizer for the rest.

    The first convolution, the last layer, norms and biases are the rest. ``weight_decay`` is for
    both. Source: Jordan et al., "Muon: an optimizer for hidden layers", 2024.
    """
    chosen = matrices(model)
    taken = {id(parameter) for parameter in chosen}
    groups = parameter_groups(model, weight_decay, decay_norm_and_bias)
    rest = [
        group | {"params": [p for p in group["params"] if id(p) not in taken]}  # type: ignore[attr-defined]
        for group in groups
    ]
    rest = [group for group in rest if group["params"]]
    return Muon(
        chosen,
        rest,
        learning_rate=learning_rate,
        momentum=momentum,
        newton_schulz_steps=newton_schulz_steps,
        weight_decay=weight_decay,
        others=others,
        others_learning_rate=others_learning_rate,
    )


OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {
    "adam": adam,
    "adamw": adamw,
    "momentum": momentum,
    "muon": muon,
    "nesterov": nesterov,
    "sgd": sgd,
}
