"""Grad-CAM and Grad-CAM++: where in the last maps the evidence for a class lies."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from convsmith.errors import UserError
from convsmith.insight.target_layer import target_layer
from convsmith.insight.unchanged import unchanged

__all__ = ["grad_cam", "grad_cam_plus_plus"]


def grad_cam(model: nn.Module, images: Tensor, targets: Tensor, layer: str | None = None) -> Tensor:
    """Return ``(N, H, W)`` maps, 0 or larger: the layer's channels, weighted by mean gradient.

    ``relu(sum over channels of mean(d logit / d channel) * channel)``, enlarged bilinearly.
    Source: Selvaraju et al., "Grad-CAM", 2017.

    Args:
        model: the network; its parameters may be frozen.
        images: ``(N, C, H, W)``, normalised.
        targets: ``(N,)`` int64, the class to explain in each.
        layer: its name; None is the end of the last convolutional stage.

    Raises:
        UserError: there is no such layer, or the logits do not depend on it.
    """
    channels, gradients = channels_and_gradients(model, images, targets, layer)
    return enlarged_sum(channels, gradients.mean((2, 3)), images)


def grad_cam_plus_plus(
    model: nn.Module, images: Tensor, targets: Tensor, layer: str | None = None
) -> Tensor:
    """Return ``(N, H, W)`` maps as :func:`grad_cam` does, better where a class is there twice.

    The weights are sums of rising gradients ``g``, each times ``1 / (2 + g * sum of channel)``,
    which is equation 19 for ``exp(logit)``; channels count as after ReLU, so it is always above 0.
    Source: Chattopadhay et al., "Grad-CAM++", 2018.
    """
    channels, gradients = channels_and_gradients(model, images, targets, layer)
    rising = gradients.relu()
    totals = channels.relu().sum((2, 3), keepdim=True)
    return enlarged_sum(channels, (rising / (2 + totals * rising)).sum((2, 3)), images)


def channels_and_gradients(
    model: nn.Module, images: Tensor, targets: Tensor, layer: str | None
) -> tuple[Tensor, Tensor]:
    """Return what a layer gives, ``(N, K, h, w)``, and the targets' logits' gradients by it.

    The graph begins at the layer, so nothing below is kept in memory and frozen networks work. A
    layer that is used several times is taken at its last use.
    """
    name = target_layer(model, images, layer)
    leaves: list[Tensor] = []

    def begin(module: nn.Module, inputs: object, output: Tensor) -> Tensor:
        leaf = output.detach().requires_grad_()
        leaves.append(leaf)
        return leaf.clone()  # a ReLU in place may follow

    with unchanged(model):
        hook = model.get_submodule(name).register_forward_hook(begin)
        try:
            logits = model(images.clone())
        finally:
            hook.remove()
        score = logits.gather(1, targets[:, None]).sum()
        gradients = None
        if score.requires_grad:
            (gradients,) = torch.autograd.grad(score, leaves[-1], allow_unused=True)
    if gradients is None:
        raise UserError(f"the logits do not depend on the layer {name!r}")
    return leaves[-1].detach().float(), gradients.float()


def enlarged_sum(channels: Tensor, weights: Tensor, images: Tensor) -> Tensor:
    """Return the weighted sum of channels where it is above 0, as large as the images."""
    maps = (weights[:, :, None, None] * channels).sum(1, keepdim=True).relu()
    size = (images.shape[2], images.shape[3])
    return functional.interpolate(maps, size, mode="bilinear", align_corners=False)[:, 0]
