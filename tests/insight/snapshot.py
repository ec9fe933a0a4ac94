"""What looking must leave as it is: a network and all around it, to the last byte."""

import random
from dataclasses import dataclass

import numpy
import torch
from torch import Tensor, nn
from torch.nn.modules import module as torch_module


@dataclass
class Case:
    """What a tool may need; it must not change any of it."""

    model: nn.Module
    images: Tensor  # (4, 1, 12, 12), normalised
    labels: Tensor  # (4,)

    @property
    def maps(self) -> Tensor:
        """Return some map of each image, (4, 12, 12)."""
        return self.images[:, 0].square()


def as_bytes(tensor: Tensor | None) -> object:
    """Return everything about a tensor: where it is, how it lies there, and its bits."""
    if tensor is None:
        return None
    values = tensor.detach().cpu().contiguous().flatten().view(torch.uint8)
    about = (tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype, tensor.requires_grad)
    return (*about, values.numpy().tobytes())


def snapshot(case: Case) -> dict[str, object]:
    """Return all that a tool must leave as it is."""
    seen: dict[str, object] = {
        "images": as_bytes(case.images),
        "labels": as_bytes(case.labels),
        "torch's random numbers": torch.get_rng_state().numpy().tobytes(),
        "numpy's random numbers": repr(numpy.random.get_state()),
        "python's random numbers": random.getstate(),
        "gradients are taken": (torch.is_grad_enabled(), torch.is_inference_mode_enabled()),
        "default type": torch.get_default_dtype(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "threads": torch.get_num_threads(),
    }
    for name, value in vars(torch_module).items():
        if name.startswith("_global") and name.endswith("_hooks"):
            seen[name] = list(value)
    for place, module in case.model.named_modules():
        values = vars(module)
        seen[f"{place}: mode"] = module.training
        seen[f"{place}: attributes"] = sorted(values)
        for name, value in values.items():
            if "hooks" in name and isinstance(value, dict):
                seen[f"{place}: {name}"] = [(key, id(hook)) for key, hook in value.items()]
        for name, tensor in (*module._parameters.items(), *module._buffers.items()):
            seen[f"{place}.{name}"] = (id(tensor), as_bytes(tensor))
            seen[f"{place}.{name}: gradient"] = tensor is not None and as_bytes(tensor.grad)
    return seen


def changes(case: Case, before: dict[str, object]) -> list[str]:
    """Return what is no longer as it was."""
    after = snapshot(case)
    return [name for name in before.keys() | after.keys() if before.get(name) != after.get(name)]
