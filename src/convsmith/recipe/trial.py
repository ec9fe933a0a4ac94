"""Trying a network on two images, before there is a run that it could spoil."""

import copy

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter

from convsmith.errors import ModelError
from convsmith.training.ema import everything
from convsmith.training.evaluate import inference
from convsmith.training.memory import out_of_memory

__all__ = ["require_fit"]


def require_fit(
    model: nn.Module, images: Tensor, classes: int, name: str, *, smallest: int = 2
) -> None:
    """Raise ModelError unless the network can be trained on such images.

    It is left as it was, and so are random numbers.

    Args:
        model: the network.
        images: ``(N, C, H, W)`` float32, normalised.
        classes: how many logits an image must get.
        name: of the network, for the message.
        smallest: how many images its smallest micro-batch has.
    """
    parameters = list(model.parameters())
    if any(isinstance(each, UninitializedParameter) for each in parameters):
        raise ModelError(f"{name} has lazy layers: call it once before it is trained")
    if not any(each.requires_grad for each in parameters):
        raise ModelError(f"{name} has no parameter that can be trained")
    require_storable(model, name)
    shape = "x".join(map(str, images.shape[1:]))
    try:
        with torch.random.fork_rng(devices=[]), inference(model):
            logits = model(images.to(parameters[0].device))
    except Exception as error:
        if out_of_memory(error):  # that is not the network's fault
            raise
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ModelError(f"{name} cannot take images of {shape}: {reason}") from error
    require_training(model, images[:smallest], name)
    wanted = (len(images), classes)
    if not isinstance(logits, Tensor):
        kind = type(logits).__name__
        raise ModelError(f"{name} must return logits as one tensor, and returns a {kind}")
    if tuple(logits.shape) != wanted:
        raise ModelError(
            f"{name} must return {wanted} logits for {len(images)} images of {classes} classes, "
            f"and returns {tuple(logits.shape)}"
        )


def require_training(model: nn.Module, images: Tensor, name: str) -> None:
    """Raise ModelError if a copy of the network cannot be trained on so few images at a time."""
    copied = copy.deepcopy(model).train()
    try:
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            copied(images.to(next(copied.parameters()).device))
    except Exception as error:
        if out_of_memory(error):
            raise
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        one = "one image" if len(images) == 1 else f"{len(images)} images"
        raise ModelError(
            f"{name} cannot be trained on {one} at a time: {reason} "
            "(train.batch_size, train.accumulate)"
        ) from error


def require_storable(model: nn.Module, name: str) -> None:
    """Raise ModelError if a checkpoint cannot hold what the network consists of."""
    for key, value in everything(model).items():
        if not isinstance(value, Tensor):
            kind = type(value).__name__
            raise ModelError(
                f"{name} keeps a {kind} in its state_dict ({key}); a checkpoint holds tensors only"
            )
        if any(
            step == 0 and side > 1 for step, side in zip(value.stride(), value.shape, strict=True)
        ):
            raise ModelError(f"{name}: {key} is an expanded tensor; make it one with .clone()")
