"""Finding where NaN or infinity began, by replaying the run from a good state."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from convsmith.randomness import seed_dropout
from convsmith.training.fit import Step, fit
from convsmith.training.job import Job, State

__all__ = ["locate_nonfinite"]


def locate_nonfinite(job: Job, state: State, bad_step: int) -> str:
    """Replay from ``state`` up to ``bad_step`` and say where the first non-finite value arose.

    The job is left wherever the replay ended: restore it from a checkpoint afterwards.

    Returns:
        A phrase such as ``in the output of `stage2.0.conv1```.
    """
    if state.step < bad_step:
        for event in fit(job, state):
            if isinstance(event, Step) and event.step == bad_step:
                break
    first = state.step - state.epoch * job.batches.steps_per_epoch
    if first == job.batches.steps_per_epoch:
        state.epoch, first = state.epoch + 1, 0
    if job.phases is not None:
        job.phases.begin(job.model, state.epoch)
    images, labels = next(job.batches.epoch(state.epoch, first))
    if not torch.isfinite(images).all():
        return "in the images themselves"
    job.optimizer.zero_grad(set_to_none=True)
    chunks = zip(images.chunk(state.accumulate), labels.chunk(state.accumulate), strict=True)
    for index, (inputs, targets) in enumerate(chunks):
        seed_dropout(job.device, job.seed, state.step, index)
        with watched(job.model) as found:
            with job.precision.forward():
                logits = job.model(inputs)
            loss = job.loss(logits.float(), targets).sum() / len(labels)
            if found:
                return found[0]
            if not torch.isfinite(loss):
                return "in the loss"
            loss.backward()
            if found:
                return found[0]
    for name, parameter in job.model.named_parameters():
        if parameter.grad is not None and not torch.isfinite(parameter.grad).all():
            return f"in the gradient of `{name}`"
    return "in the norm of the gradient"


@contextmanager
def watched(model: nn.Module) -> Iterator[list[str]]:
    """Collect where outputs, and gradients of outputs, are not finite, in the order they appear."""
    found: list[str] = []

    def watch(name: str, output: object) -> None:
        if not isinstance(output, Tensor):
            return
        if not torch.isfinite(output).all():
            found.append(f"in the output of `{name}`")
        if output.requires_grad:
            output.register_hook(lambda gradient: look_back(name, gradient))

    def look_back(name: str, gradient: Tensor) -> None:
        if not torch.isfinite(gradient).all():
            found.append(f"in the gradient of the output of `{name}`")

    def hook(name: str):  # type: ignore[no-untyped-def]  # torch's own hook type is Any
        return lambda module, inputs, output: watch(name, output)

    leaves = [(n, m) for n, m in model.named_modules() if not any(True for _ in m.children())]
    handles = [module.register_forward_hook(hook(name or "model")) for name, module in leaves]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()
