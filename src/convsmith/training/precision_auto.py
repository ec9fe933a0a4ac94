"""Which number format and memory layout is fastest here, by measuring a few real steps."""

import math
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import torch
from torch import Tensor, nn
from torch.nn import functional

from convsmith.cache import cache_folder, read_cache, write_cache
from convsmith.errors import DeviceError
from convsmith.processor import cpu_name
from convsmith.training.device import bf16_supported, fp16_unsafe
from convsmith.training.precision import make_precision

__all__ = ["Choice", "candidates", "measure"]

LAYOUTS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
ROUNDS = 4
LOSS_TOLERANCE = 0.05  # relative to fp32's
ANGLE_TOLERANCE = 0.9  # least cosine between a gradient and fp32's


@dataclass(frozen=True)
class Choice:
    """The fastest candidate; seconds a step of each, and why others were rejected."""

    precision: str
    memory_format: str
    seconds: Mapping[str, float] = field(default_factory=dict)
    rejected: Mapping[str, str] = field(default_factory=dict)
    cached: bool = False


def candidates(
    device: torch.device, precision: str, memory_format: str
) -> tuple[list[tuple[str, str]], dict[str, str]]:
    """Return the (precision, layout) pairs to try, and why others are not."""
    rejected = {}
    names = ["fp32", "bf16", "fp16"] if precision == "auto" else [precision]
    if precision == "auto" and not bf16_supported(device):
        names.remove("bf16")
        rejected["bf16"] = "the device only emulates it"
    if precision == "auto" and fp16_unsafe(device):
        names.remove("fp16")
        rejected["fp16"] = fp16_unsafe(device)
    layouts = list(LAYOUTS) if memory_format == "auto" else [memory_format]
    return [(name, layout) for name in names for layout in layouts], rejected


def measure(
    make_model: Callable[[], nn.Module],
    batch: tuple[Tensor, Tensor],
    device: torch.device,
    *,
    precision: str = "auto",
    memory_format: str = "auto",
    key: str | None,
    cache: Path | None = None,
) -> Choice:
    """Time forward and backward passes of every candidate, in turn; choose the fastest sound one.

    A candidate is sound if its loss is finite and close to fp32's and its gradient points the same
    way. The result is cached by machine, ``key`` (the network and its options) and batch shape.

    Args:
        make_model: makes a fresh network with the same weights every time.
        batch: images ``(N, C, H, W)`` float32 and labels ``(N,)``.
        device: where to measure.
        precision: ``auto``, or the one that is wanted.
        memory_format: ``auto``, or the one that is wanted.
        key: what the measurement is for; None is measured anew each time.
        cache: the cache file; by default in the user's cache folder.

    Raises:
        DeviceError: no candidate computes what fp32 does.
    """
    pairs, rejected = candidates(device, precision, memory_format)
    if len(pairs) == 1:
        return Choice(*pairs[0], rejected=rejected)
    if key is None:
        return measure_now(make_model, batch, device, pairs, rejected)
    cache = cache or cache_folder() / "precision.json"
    full_key = " | ".join([machine(device), key, str(tuple(batch[0].shape)), str(pairs)])
    known = read_cache(cache)
    if full_key in known:
        try:
            return Choice(**known[full_key], cached=True)
        except TypeError:
            known.pop(full_key)
    choice = measure_now(make_model, batch, device, pairs, rejected)
    stored = {
        name: getattr(choice, name)
        for name in ("precision", "memory_format", "seconds", "rejected")
    }
    write_cache(cache, known | {full_key: stored})
    return choice


def measure_now(
    make_model: Callable[[], nn.Module],
    batch: tuple[Tensor, Tensor],
    device: torch.device,
    pairs: list[tuple[str, str]],
    rejected: dict[str, str],
) -> Choice:
    """Check and time the candidates."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        reference = Trial(make_model, batch, device, "fp32", "contiguous")
        expected = reference.check()
        trials = {}
        for pair in pairs:
            trial = Trial(make_model, batch, device, *pair)
            reason = differs(expected, trial.check())
            if reason:
                rejected[" ".join(pair)] = reason
            else:
                trials[pair] = trial
        if not trials:
            raise DeviceError(f"no precision computes what fp32 does here: {rejected}")
        times: dict[tuple[str, str], list[float]] = {pair: [] for pair in trials}
        for _ in range(ROUNDS):
            for pair, trial in trials.items():
                times[pair].append(trial.seconds())
    medians = {pair: median(seconds[1:]) for pair, seconds in times.items()}
    best = min(medians, key=lambda pair: medians[pair])
    return Choice(*best, {" ".join(pair): s for pair, s in medians.items()}, rejected)


class Trial:
    """One network in one precision and layout."""

    def __init__(
        self,
        make_model: Callable[[], nn.Module],
        batch: tuple[Tensor, Tensor],
        device: torch.device,
        precision: str,
        layout: str,
    ) -> None:
        model = make_model().train()
        self._model = model.to(device=device, memory_format=LAYOUTS[layout])  # type: ignore[call-overload]
        self._images = batch[0].to(device).contiguous(memory_format=LAYOUTS[layout])
        self._labels = batch[1].to(device)
        self._precision = make_precision(precision, device)
        self._device = device

    def check(self) -> tuple[float, Tensor]:
        """Return the loss and the flattened gradient of one step with fixed dropout."""
        torch.manual_seed(0)
        loss = self._forward_backward(scaled=False)
        gradients = [p.grad.flatten() for p in self._model.parameters() if p.grad is not None]
        return loss, torch.cat(gradients).double().cpu()

    def seconds(self) -> float:
        """Return how long one forward and backward pass takes."""
        started = time.perf_counter()
        self._forward_backward(scaled=True)
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return time.perf_counter() - started

    def _forward_backward(self, *, scaled: bool) -> float:
        self._model.zero_grad(set_to_none=True)
        with self._precision.forward():
            logits = self._model(self._images)
        loss = functional.cross_entropy(logits.float(), self._labels)
        if scaled:
            self._precision.backward(loss)
        else:
            torch.autograd.backward(
                loss * 1024
            )  # enough for fp16's small gradients; directions are compared
        return float(loss.detach())


def differs(expected: tuple[float, Tensor], found: tuple[float, Tensor]) -> str:
    """Return in what a candidate departs from fp32; empty if it does not."""
    loss, gradient = found
    if not math.isfinite(loss) or not torch.isfinite(gradient).all():
        return "the loss or gradient is not finite"
    if abs(loss - expected[0]) > LOSS_TOLERANCE * abs(expected[0]):
        return f"the loss is {loss:.4g}, in fp32 {expected[0]:.4g}"
    cosine = float(functional.cosine_similarity(gradient, expected[1], dim=0))
    if cosine < ANGLE_TOLERANCE:
        return f"the gradient points elsewhere (cosine {cosine:.2f} with fp32's)"
    return ""


def machine(device: torch.device) -> str:
    """Return what the speed depends on: the processor or GPU, threads and PyTorch."""
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
    else:
        name = f"{cpu_name()}, {torch.backends.cpu.get_cpu_capability()}, {os.cpu_count()} cores"
    return f"{name}, {torch.get_num_threads()} threads, torch {torch.__version__}"
