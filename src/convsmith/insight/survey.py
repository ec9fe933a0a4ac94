"""A whole pass of data through a network: units that are always off, saturation, normalisation."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils._python_dispatch import TorchDispatchMode

from convsmith.insight.unchanged import unchanged

__all__ = ["Normed", "Survey", "Units", "survey"]

Kind = Literal["relu", "sigmoid", "tanh"]
KINDS: dict[str, Kind] = {  # operations of PyTorch, however they are called
    "relu": "relu",
    "relu_": "relu",
    "hardtanh": "relu",  # ReLU6
    "hardtanh_": "relu",
    "threshold": "relu",
    "threshold_": "relu",
    "sigmoid": "sigmoid",
    "sigmoid_": "sigmoid",
    "tanh": "tanh",
    "tanh_": "tanh",
}
SATURATED: dict[Kind, tuple[float, float]] = {"sigmoid": (0.05, 0.95), "tanh": (-0.95, 0.95)}


@dataclass(frozen=True)
class Units:
    """An activation function at one place.

    ``dead`` are the channels whose output was zero for every image at every place; ``zeros`` and
    ``saturated`` are shares of all outputs, the latter within 0.05 of an end of the range (None for
    ReLU). ``places`` is whether a channel has several outputs an image, as after a convolution.
    """

    name: str
    kind: Kind
    places: bool
    channels: int
    dead: tuple[int, ...]
    zeros: float
    saturated: float | None


@dataclass(frozen=True)
class Normed:
    """What BatchNorm's running statistics make of the data, before scale and shift, by channel."""

    name: str
    means: tuple[float, ...]
    stds: tuple[float, ...]


@dataclass(frozen=True)
class Survey:
    """What a pass showed.

    ``ranks[r]`` counts images whose label is the ``r``-th guess, from 0; ``sure`` counts those of
    them in which the network is at least as sure as in the middle one that it gets right.
    """

    images: int
    input_mean: float
    input_std: float
    units: tuple[Units, ...]
    norms: tuple[Normed, ...]
    ranks: tuple[int, ...]
    sure: tuple[int, ...]


def survey(
    model: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor]],
    autocast: Callable[[], AbstractContextManager[Any]] = nullcontext,
) -> Survey:
    """Look at all the data in evaluation mode; the network stays as it is.

    Args:
        model: maps ``(N, C, H, W)`` to logits ``(N, K)``.
        batches: of ``(images, labels (N,))``, as they are evaluated; at least one.
        autocast: returns the context in which the network runs.
    """
    seen = Seen(model)
    sums = torch.zeros(3, dtype=torch.float64)
    ranks: list[Tensor] = []
    confidences: list[Tensor] = []
    with unchanged(model), torch.no_grad(), seen.hooks():
        for images, labels in batches:
            with autocast(), seen:
                logits = model(images)
            logits = logits.float()
            own = logits.gather(1, labels[:, None])
            ranks.append((logits > own).sum(1))
            confidences.append(logits.softmax(1).amax(1))
            values = images.double()
            sums = (
                sums
                + torch.stack(
                    [values.sum(), values.square().sum(), values.new_tensor(values.numel())]
                ).cpu()
            )
            seen.calls.clear()
    total, squares, count = sums.tolist()
    every_rank, classes = torch.cat(ranks), logits.shape[1]
    return Survey(
        images=len(every_rank),
        input_mean=total / count,
        input_std=max(0.0, squares / count - (total / count) ** 2) ** 0.5,
        units=tuple(site.result(name) for name, site in seen.sites.items()),
        norms=tuple(sums_.result(name) for name, sums_ in seen.norms.items()),
        ranks=tuple(every_rank.bincount(minlength=classes).tolist()),
        sure=tuple(sure_ranks(every_rank, torch.cat(confidences), classes)),
    )


def sure_ranks(ranks: Tensor, confidences: Tensor, classes: int) -> list[int]:
    """Return how often the label has which place where the network is sure."""
    right = confidences[ranks == 0]
    if not len(right):
        return [0] * classes
    sure = ranks[confidences >= right.median()]
    return sure.bincount(minlength=classes).tolist()


class Seen(TorchDispatchMode):
    """Sees every activation function that runs, also those that are no module. Final."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._model = model
        self._owners: list[str] = []
        self.calls: Counter[str] = Counter()  # of activation functions by owner, in this batch
        self.sites: dict[str, Site] = {}
        self.norms: dict[str, Sums] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation, and look at its result if it is an activation function's."""
        result = func(*args, **(kwargs or {}))
        kind = KINDS.get(func.overloadpacket.__name__)
        if kind is not None and result.ndim > 1:
            owner = self._owners[-1] if self._owners else ""
            self.calls[owner] += 1
            which = self.calls[owner]
            name = (owner or "network") + (f" ({which})" if which > 1 else "")
            self.sites.setdefault(name, Site(kind)).add(result)
        return result

    @contextmanager
    def hooks(self) -> Iterator[None]:
        """Know which module runs, and what goes into BatchNorm, for a while."""
        handles = []

        def leave(module: nn.Module, inputs: Any, output: Any) -> None:
            self._owners.pop()

        for name, module in self._model.named_modules():
            handles.append(module.register_forward_pre_hook(self._enter(name)))
            handles.append(module.register_forward_hook(leave))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _enter(self, name: str) -> Any:
        def enter(module: nn.Module, inputs: Any) -> None:
            self._owners.append(name)
            if isinstance(module, _BatchNorm) and module.running_mean is not None:
                self.norms.setdefault(name, Sums(module)).add(inputs[0])

        return enter


class Site:
    """What an activation function at one place has shown so far."""

    def __init__(self, kind: Kind) -> None:
        self._kind: Kind = kind
        self._alive: Tensor | None = None
        self._zeros = 0.0
        self._saturated = 0.0
        self._values = 0
        self._places = False

    def add(self, output: Tensor) -> None:
        """Take in a batch's output, ``(N, C, …)`` of images or ``(N, …, C)`` of vectors."""
        channel = 1 if output.ndim > 3 else output.ndim - 1
        others = [dim for dim in range(output.ndim) if dim != channel]
        self._places = output.ndim > 2
        alive = (output != 0).sum(others) > 0
        self._alive = alive if self._alive is None else self._alive | alive
        self._zeros += float((output == 0).sum())
        self._values += output.numel()
        if self._kind in SATURATED:
            low, high = SATURATED[self._kind]
            self._saturated += float(((output < low) | (output > high)).sum())

    def result(self, name: str) -> Units:
        """Return what was shown."""
        assert self._alive is not None
        dead = tuple((~self._alive).nonzero().flatten().tolist()) if self._kind == "relu" else ()
        saturated = self._saturated / self._values if self._kind in SATURATED else None
        zeros = self._zeros / self._values
        return Units(name, self._kind, self._places, len(self._alive), dead, zeros, saturated)


class Sums:
    """Sums of a BatchNorm layer's normalised inputs, by channel."""

    def __init__(self, module: _BatchNorm) -> None:
        self._module = module
        self._sums: Tensor | None = None
        self._count = 0

    def add(self, inputs: Tensor) -> None:
        """Take in a batch, ``(N, C, …)``."""
        mean, var = self._module.running_mean, self._module.running_var
        assert mean is not None
        assert var is not None
        shape = (1, -1, *[1] * (inputs.ndim - 2))
        normed = (inputs.float() - mean.view(shape)) * (var + self._module.eps).rsqrt().view(shape)
        others = [dim for dim in range(inputs.ndim) if dim != 1]
        sums = torch.stack([normed.sum(others).double(), normed.square().sum(others).double()])
        self._sums = sums if self._sums is None else self._sums + sums
        self._count += inputs.numel() // inputs.shape[1]

    def result(self, name: str) -> Normed:
        """Return mean and deviation by channel."""
        assert self._sums is not None
        mean, square = self._sums / self._count
        std = (square - mean.square()).clamp(min=0).sqrt()
        return Normed(name, tuple(mean.tolist()), tuple(std.tolist()))
