"""Looking at a network without changing it."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

__all__ = ["unchanged"]


@contextmanager
def unchanged(model: nn.Module) -> Iterator[None]:
    """Put a network into evaluation mode; put back modes, buffers and random numbers afterwards.

    Buffers and the generators of PyTorch are kept too, because a network of one's own may count its
    passes, or drop out in evaluation. Gradients can be taken inside, whatever the caller's context
    says; take them with :func:`torch.autograd.grad`, which adds to no parameter's own.
    """
    modes = [(module, module.training) for module in model.modules()]
    buffers = [
        (module, name, buffer, buffer.clone())
        for module in model.modules()
        for name, buffer in module._buffers.items()
        if buffer is not None
    ]
    gpus = {each.device for each in model.parameters() if each.device.type == "cuda"}
    try:
        with torch.random.fork_rng(devices=list(gpus)):
            model.eval()
            with torch.inference_mode(mode=False), torch.enable_grad():
                yield
    finally:
        for module, mode in modes:
            module.training = mode
        for module, name, buffer, value in buffers:
            put_back(module, name, buffer, value)


def put_back(module: nn.Module, name: str, buffer: Tensor, value: Tensor) -> None:
    """Give a module its buffer again; one that did not change is not written to."""
    module._buffers[name] = buffer
    if not torch.equal(buffer, value):
        with torch.no_grad():
            buffer.copy_(value)
