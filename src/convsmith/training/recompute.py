"""Gradient checkpointing: stages whose activations are computed again in the backward pass.

Source: Chen et al., "Training Deep Nets with Sublinear Memory Cost", 2016. It takes less memory in
training only: a pass without gradients keeps no activations in any case.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

__all__ = ["recomputed", "stages_of"]


def stages_of(model: nn.Module) -> tuple[str, ...]:
    """Return the names of the parts that can be computed again one by one, in their order.

    These are the children of the network that consist of several layers, convolutions among them;
    a list that holds most of the network (torchvision's ``features``) is taken apart. The last of
    them is left out: the backward pass begins there, so that nothing would be saved.
    """
    found: list[str] = []
    total = convolutions(model)
    for name, child in model.named_children():
        parts = {name: child}
        if isinstance(child, nn.Sequential) and 2 * convolutions(child) > total > 2:
            parts = {f"{name}.{inner}": module for inner, module in child.named_children()}
        found += [
            each
            for each, part in parts.items()
            if convolutions(part) and any(True for _ in part.children())
        ]
    return tuple(found[:-1])


def convolutions(module: nn.Module) -> int:
    """Return how many convolutions a module has."""
    return sum(isinstance(each, nn.Conv1d | nn.Conv2d) for each in module.modules())


@contextmanager
def recomputed(model: nn.Module, stages: Sequence[str]) -> Iterator[None]:
    """Let forward passes in this context keep only the inputs of ``stages``.

    The network itself is unchanged. Outputs and gradients are bit for bit what they would be:
    dropout draws the same numbers again, and BatchNorm's running statistics are moved once.
    """
    modules = [model.get_submodule(name) for name in stages]
    try:
        for module in modules:
            module.forward = partial(again, module, module.forward)
        yield
    finally:
        for module in modules:
            vars(module).pop("forward", None)


def again(module: nn.Module, forward: Callable[..., Any], *inputs: Any) -> Any:
    """Run a stage such that the backward pass will run it once more."""
    return checkpoint(
        forward,
        *inputs,
        use_reentrant=False,
        context_fn=lambda: (nullcontext(), statistics_held(module)),
    )


@contextmanager
def statistics_held(module: nn.Module) -> Iterator[None]:
    """Let BatchNorm take the statistics of the batch, as in training, without moving its own.

    A momentum of 0 does it: with no statistics at all, BatchNorm would save fewer tensors than the
    first time, which PyTorch refuses.
    """
    norms = [each for each in module.modules() if isinstance(each, _BatchNorm)]
    before = [(norm, norm.momentum, norm.num_batches_tracked) for norm in norms]
    counts = [None if count is None else count.clone() for _, _, count in before]
    try:
        for norm in norms:
            norm.momentum = 0.0
        yield
    finally:
        for (norm, momentum, count), value in zip(before, counts, strict=True):
            norm.momentum = momentum
            if count is not None and value is not None:
                count.copy_(value)
