"""Trying a network on two images, before there is a run that it could spoil."""

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter

from convsmith.errors import ModelError
from convsmith.training.evaluate import inference

__all__ = ["require_fit"]


def require_fit(model: nn.Module, images: Tensor, classes: int, name: str) -> None:
    """Raise ModelError unless the network can be trained on such images.

    It is left as it was, and so are random numbers.

    Args:
        model: the network.
        images: ``(N, C, H, W)`` float32, normalised.
        classes: how many logits an image must get.
        name: of the network, for the message.
    """
    parameters = list(model.parameters())
    if any(isinstance(each, UninitializedParameter) for each in parameters):
        raise ModelError(f"{name} has lazy layers: call it once before it is trained")
    if not any(each.requires_grad for each in parameters):
        raise ModelError(f"{name} has no parameter that can be trained")
    shape = "x".join(map(str, images.shape[1:]))
    try:
        with torch.random.fork_rng(devices=[]), inference(model):
            logits = model(images.to(parameters[0].device))
    except Exception as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ModelError(f"{name} cannot take images of {shape}: {reason}") from error
    wanted = (len(images), classes)
    if not isinstance(logits, Tensor):
        kind = type(logits).__name__
        raise ModelError(f"{name} must return logits as one tensor, and returns a {kind}")
    if tuple(logits.shape) != wanted:
        raise ModelError(
            f"{name} must return {wanted} logits for {len(images)} images of {classes} classes, "
            f"and returns {tuple(logits.shape)}"
        )
