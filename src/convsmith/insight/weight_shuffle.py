"""Whether a map depends on what was learned: the same map once the weights are shuffled."""

import copy
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from convsmith.insight.unchanged import unchanged
from convsmith.randomness import generator

__all__ = ["rank_correlation", "shuffled_similarity"]

Explain = Callable[[nn.Module, Tensor, Tensor], Tensor]
"""A method: network, images and targets to maps ``(N, H, W)``."""


def shuffled_similarity(
    model: nn.Module,
    images: Tensor,
    targets: Tensor,
    maps: Tensor,
    explain: Explain,
    *,
    looks: int = 4,
    seed: int = 0,
) -> dict[str, Tensor]:
    """Return how like each map stays while a copy's layers are shuffled, from the head down.

    A map that stays the same follows the image and not the network. The weights of each layer
    change places among themselves, so their distribution stays. Source: the cascade of Adebayo et
    al., "Sanity Checks for Saliency Maps", 2018.

    Args:
        model: the network; a copy of it is shuffled.
        images: ``(N, C, H, W)``, normalised.
        targets: ``(N,)`` int64.
        maps: ``(N, H, W)`` of the network as it is.
        explain: how they were made.
        looks: how often to look, spread over the layers; the last time all are shuffled.
        seed: draws the new places.

    Returns:
        Rank correlations ``(N,)`` by the layer that was reached, the head first.
    """
    layers = sum(1 for _ in weighted(model))
    chosen = {layers - round(look * (layers - 1) / max(1, looks - 1)) for look in range(looks)}
    found = {}
    for count, (name, twin) in enumerate(cascade(model, seed), 1):
        if count in chosen:
            with unchanged(twin):  # for the random numbers, should the copy draw any
                now = explain(twin, images, targets)
            pairs = zip(maps, now, strict=True)
            found[name] = torch.stack([rank_correlation(one, two) for one, two in pairs])
    return found


def weighted(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield the layers that convolve or multiply, the last first."""
    for name, module in reversed(list(model.named_modules())):
        if any(each.ndim > 1 for each in module.parameters(recurse=False)):
            yield name, module


def cascade(model: nn.Module, seed: int) -> Iterator[tuple[str, nn.Module]]:
    """Yield a copy of the network after each layer that was shuffled in it, the last first."""
    with torch.inference_mode(mode=False):  # or no gradient could be taken in the copy
        twin = copy.deepcopy(model)
    draw = generator(seed, "shuffled weights")
    for name, module in weighted(twin):
        with torch.no_grad():
            for parameter in module.parameters(recurse=False):
                places = torch.randperm(parameter.numel(), generator=draw).to(parameter.device)
                parameter.copy_(parameter.flatten()[places].view_as(parameter))
        yield name, twin


def rank_correlation(one: Tensor, other: Tensor) -> Tensor:
    """Return Spearman's correlation of two maps; 0 where one of them is flat."""
    first, second = (mean_ranks(each.flatten()) for each in (one, other))
    first, second = first - first.mean(), second - second.mean()
    size = (first.square().sum() * second.square().sum()).sqrt()
    likeness: Tensor = (first * second).sum() / size.clamp(min=1e-12)
    return likeness.float()


def mean_ranks(values: Tensor) -> Tensor:
    """Return the rank of each value; equal ones share the mean of theirs."""
    _, which, counts = values.unique(return_inverse=True, return_counts=True)
    ends = counts.cumsum(0).double()
    means: Tensor = ends - (counts.double() - 1) / 2
    return means[which]
