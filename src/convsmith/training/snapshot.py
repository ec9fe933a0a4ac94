"""What a checkpoint holds: the state of a run as named tensors and JSON fields, and back.

Tensors are named ``model.*``, ``ema.*``, ``best.*``, ``optimizer.<parameter>.<name>`` and
``epoch_sums``. Every name must be there when a state is restored: a checkpoint that lacks one is
refused, never completed by a default.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from convsmith.errors import CheckpointError
from convsmith.training.ema import everything
from convsmith.training.job import Job, State

__all__ = ["load_weights", "restore", "snapshot"]

Fields = dict[str, Any]


def snapshot(job: Job, state: State) -> tuple[dict[str, Tensor], Fields]:
    """Return the tensors and fields that :func:`restore` needs to continue bit for bit."""
    tensors = {f"model.{name}": tensor for name, tensor in everything(job.model).items()}
    tensors["epoch_sums"] = state.epoch_sums
    if job.ema is not None:
        tensors |= {f"ema.{name}": tensor for name, tensor in job.ema.state_dict().items()}
    if state.best is not None:
        tensors |= {f"best.{name}": tensor for name, tensor in state.best.items()}
    optimizer: dict[str, dict[str, Any]] = {}
    for index, values in job.optimizer.state_dict()["state"].items():
        optimizer[str(index)] = {}
        for name, value in values.items():
            if isinstance(value, Tensor):
                tensors[f"optimizer.{index}.{name}"] = value
                optimizer[str(index)][name] = "tensor"
            else:
                optimizer[str(index)][name] = [value]
    fields: Fields = {
        "step": state.step,
        "epoch": state.epoch,
        "accumulate": state.accumulate,
        "recompute": list(state.recompute),
        "rate_scale": state.rate_scale,
        "rollbacks": state.rollbacks,
        "seconds": state.seconds,
        "has_best": state.best is not None,
        "stopping": None if state.stopping is None else state.stopping.state_dict(),
        "precision": job.precision.state_dict(),
        "optimizer": optimizer,
    }
    return tensors, fields


def restore(job: Job, state: State, tensors: Mapping[str, Tensor], fields: Fields) -> None:
    """Bring ``job`` and ``state`` to where :func:`snapshot` was taken.

    Raises:
        CheckpointError: a tensor or field is missing, or has another shape.
    """
    try:
        load_weights(everything(job.model), part(tensors, "model."))
        if job.ema is not None:
            load_weights(job.ema.state_dict(), part(tensors, "ema."))
        state.best = None
        if fields["has_best"]:
            template = job.eval_model.state_dict()
            state.best = {name: torch.empty_like(tensor) for name, tensor in template.items()}
            load_weights(state.best, part(tensors, "best."))
        restore_optimizer(job, tensors, fields["optimizer"])
        job.precision.load_state_dict(fields["precision"])
        if state.stopping is not None:
            state.stopping.load_state_dict(fields["stopping"])
        state.epoch_sums.copy_(tensors["epoch_sums"])
        state.first_bad.fill_(-1)
        state.step, state.epoch = fields["step"], fields["epoch"]
        state.accumulate, state.recompute = fields["accumulate"], tuple(fields["recompute"])
        state.rate_scale, state.rollbacks = fields["rate_scale"], fields["rollbacks"]
        state.seconds = fields["seconds"]
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise CheckpointError(f"the checkpoint does not fit this run: {error}") from error


def load_weights(into: Mapping[str, Tensor], values: Mapping[str, Tensor]) -> None:
    """Copy tensors by name, keeping the layout of those they are copied into.

    Raises:
        CheckpointError: names or shapes differ.
    """
    missing, unknown = into.keys() - values.keys(), values.keys() - into.keys()
    if missing or unknown:
        listed = ", ".join(sorted(missing | unknown)[:5])
        raise CheckpointError(
            f"weights do not fit: {len(missing)} missing, {len(unknown)} unknown ({listed})"
        )
    with torch.no_grad():
        for name, tensor in into.items():
            if tensor.shape != values[name].shape:
                raise CheckpointError(
                    f"weights do not fit: {name} is {tuple(values[name].shape)}, "
                    f"the network has {tuple(tensor.shape)}"
                )
            tensor.copy_(values[name])


def restore_optimizer(job: Job, tensors: Mapping[str, Tensor], stored: Fields) -> None:
    """Load the optimizer's state; its hyperparameters are the recipe's and are not stored."""
    fresh = job.optimizer.state_dict()
    parameters = dict(enumerate(optimized(job.optimizer)))
    state: dict[int, dict[str, Any]] = {}
    listed = {f"{key}.{name}" for key, names in stored.items() for name in names}
    unlisted = part(tensors, "optimizer.").keys() - listed
    if unlisted:
        raise CheckpointError(f"the optimizer's state is not whole: {sorted(unlisted)[0]}")
    for key, names in stored.items():
        index = int(key)
        state[index] = {}
        for name, value in names.items():
            if value == "tensor":
                tensor = tensors[f"optimizer.{index}.{name}"]
                state[index][name] = in_layout_of(parameters[index], tensor)
            else:
                state[index][name] = value[0]
    job.optimizer.load_state_dict({"state": state, "param_groups": fresh["param_groups"]})


def optimized(optimizer: torch.optim.Optimizer) -> Iterator[Tensor]:
    """Yield the optimizer's parameters in the order of its state's numbers."""
    for group in optimizer.param_groups:
        yield from group["params"]


def in_layout_of(parameter: Tensor, tensor: Tensor) -> Tensor:
    """Return ``tensor`` in the memory layout of ``parameter`` if their shapes are equal.

    A momentum has its parameter's layout; in another one, sums round differently in the last bit.
    """
    if tensor.shape != parameter.shape:
        return tensor
    return torch.empty_like(parameter, dtype=tensor.dtype).copy_(tensor)


def part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return the tensors whose names start with ``prefix``, without it."""
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }
