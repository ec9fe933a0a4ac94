"""What happens inside a network in one training step: weights, gradients, updates, activations."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["Histogram", "Layer", "Output", "Reading", "Spread", "Watch"]

IMAGES = 16  # of a batch whose activations are looked at: enough for a mean, and quick
BINS = 32


@dataclass(frozen=True)
class Spread:
    """A tensor in four numbers; ``largest`` is of the absolute values, ``zeros`` a share."""

    mean: float
    std: float
    largest: float
    zeros: float


@dataclass(frozen=True)
class Histogram:
    """How many values lie in each of equally wide bins from ``low`` to ``high``."""

    low: float
    high: float
    counts: tuple[int, ...]


@dataclass(frozen=True)
class Layer:
    """A layer's weight, a parameter of two or more dimensions, in one step.

    ``gradient_norm`` and ``weight_norm`` are 2-norms; ``update_ratio`` is the norm of what the step
    changed over that of the weight, None where no step was made.
    """

    name: str
    weight: Spread
    gradient: Spread
    weight_norm: float
    gradient_norm: float
    update_ratio: float | None


@dataclass(frozen=True)
class Output:
    """A layer's output for the first images of a batch."""

    name: str
    kind: str
    spread: Spread


@dataclass(frozen=True)
class Reading:
    """One step, ``step`` being counted from 1; layers and outputs in the order of the forward pass.

    ``histograms`` are by ``weight/NAME``, ``gradient/NAME`` and ``output/NAME``; empty where they
    were not asked for.
    """

    step: int
    learning_rate: float
    loss: float
    layers: tuple[Layer, ...]
    outputs: tuple[Output, ...]
    histograms: Mapping[str, Histogram]


class Watch:
    """Looks at a network from now until :meth:`close`, through hooks that change nothing. Final.

    Make one before a step, take :meth:`read` after it and close it. Of several micro-batches the
    first is looked at, and no pass without gradients, such as validation between two steps;
    gradients are those of the whole batch, after clipping.
    """

    def __init__(self, model: nn.Module, *, histograms: bool = False) -> None:
        self._histograms = histograms
        self._weights = dict(watched_weights(model))
        self._before = {name: weight.detach().clone() for name, weight in self._weights.items()}
        self._outputs: dict[str, tuple[str, Tensor]] = {}
        self._handles = [
            module.register_forward_hook(self._hook(name or "network"))
            for name, module in model.named_modules()
            if is_layer(module)
        ]

    def _hook(self, name: str) -> Callable[[nn.Module, Any, Any], None]:
        def look(module: nn.Module, inputs: Any, output: Any) -> None:
            if name in self._outputs or not torch.is_grad_enabled():  # the latter: validation
                return
            if isinstance(output, Tensor) and output.ndim > 1 and output.numel():
                # a copy: the next layer may work in place
                seen = output.detach()[:IMAGES].float().clone()
                self._outputs[name] = (type(module).__name__, seen)

        return look

    def close(self) -> None:
        """Take the hooks away."""
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def read(
        self, step: int, learning_rate: float, loss: float, *, updated: bool = True
    ) -> Reading:
        """Return what was seen; the step has just been made, and its gradients are still there.

        ``updated`` is whether the optimizer made its step.
        """
        order = {name: place for place, name in enumerate(self._outputs)}
        names = [name for name, weight in self._weights.items() if weight.grad is not None]
        names.sort(key=lambda name: order.get(name, len(order)))
        layers = tuple(self._layer(name, updated=updated) for name in names)
        outputs = tuple(
            Output(name, kind, spread(seen)) for name, (kind, seen) in self._outputs.items()
        )
        found: dict[str, Histogram] = {}
        if self._histograms:
            for name in names:
                weight = self._weights[name]
                found[f"weight/{name}"] = histogram(weight.detach())
                found[f"gradient/{name}"] = histogram(gradient_of(weight))
            found |= {
                f"output/{name}": histogram(seen) for name, (_, seen) in self._outputs.items()
            }
        return Reading(step, learning_rate, loss, layers, outputs, found)

    def _layer(self, name: str, *, updated: bool) -> Layer:
        weight, gradient = self._weights[name].detach(), gradient_of(self._weights[name])
        norm = float(torch.linalg.vector_norm(weight))
        ratio = None
        if updated:
            change = float(torch.linalg.vector_norm(weight - self._before[name]))
            ratio = change / norm if norm > 0 else math.inf if change else 0.0
        return Layer(
            name=name,
            weight=spread(weight),
            gradient=spread(gradient),
            weight_norm=norm,
            gradient_norm=float(torch.linalg.vector_norm(gradient)),
            update_ratio=ratio,
        )


def is_layer(module: nn.Module) -> bool:
    """Return whether a module computes something itself, rather than calling others only."""
    return not any(True for _ in module.children()) or any(True for _ in own_weights(module))


def watched_weights(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yield the trainable filters and matrices by the name of their layer, each once."""
    seen: set[int] = set()
    for name, module in model.named_modules():
        for weight in own_weights(module):
            if id(weight) not in seen:
                seen.add(id(weight))
                yield name or "network", weight


def own_weights(module: nn.Module) -> Iterator[Tensor]:
    """Yield a module's largest trainable parameter of two or more dimensions, if it has one."""
    own = [p for p in module.parameters(recurse=False) if p.ndim > 1 and p.requires_grad]
    yield from sorted(own, key=lambda each: -each.numel())[:1]


def gradient_of(weight: Tensor) -> Tensor:
    """Return a weight's gradient, which is there."""
    return torch.zeros_like(weight) if weight.grad is None else weight.grad.detach()


def spread(values: Tensor) -> Spread:
    """Return a tensor in four numbers; what is not finite shows in all of the first three."""
    values = values.float()
    std, mean = torch.std_mean(values, correction=0)
    numbers = torch.stack([mean, std, values.abs().amax(), (values == 0).float().mean()])
    return Spread(*numbers.tolist())


def histogram(values: Tensor) -> Histogram:
    """Return a tensor's histogram; what is not finite is left out."""
    values = values.float().flatten()
    low, high = (float(each) for each in values.aminmax())
    if not math.isfinite(low + high):
        values = values[values.isfinite()]
        if not len(values):
            return Histogram(0.0, 0.0, (0,) * BINS)
        low, high = (float(each) for each in values.aminmax())
    counts = torch.histc(values, BINS, low, high) if high > low else torch.tensor([len(values)])
    return Histogram(low, high, tuple(int(each) for each in counts.tolist()))
