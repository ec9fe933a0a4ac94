"""Integrated gradients: what every pixel adds to a class on the way from an empty image."""

import torch
from torch import Tensor, nn

from convsmith.insight.unchanged import unchanged

__all__ = ["integrated_gradients"]


def integrated_gradients(
    model: nn.Module,
    images: Tensor,
    targets: Tensor,
    *,
    baseline: Tensor | None = None,
    steps: int = 32,
) -> Tensor:
    """Return ``(N, C, H, W)``: each value's share of the logit's rise over that of the baseline.

    The shares of an image add up to that rise, as exactly as ``steps`` follow the path: gradients
    are taken in the middle of each. Source: Sundararajan et al., "Axiomatic Attribution for Deep
    Networks", 2017.

    Args:
        model: the network; its parameters may be frozen.
        images: ``(N, C, H, W)``, normalised.
        targets: ``(N,)`` int64, the class to explain in each.
        baseline: the empty image, of a shape that broadcasts to ``images``; None is 0, which is the
            mean of the training images.
        steps: points on the path, and passes through the network.
    """
    with unchanged(model):
        images = images.clone()
        start = torch.zeros_like(images) if baseline is None else baseline.expand_as(images).clone()
        total = torch.zeros_like(images)
        for step in range(steps):
            point = start.lerp(images, (step + 0.5) / steps).requires_grad_()
            score = model(point).gather(1, targets[:, None]).sum()
            total += torch.autograd.grad(score, point)[0]
        return ((images - start) * total / steps).detach()
