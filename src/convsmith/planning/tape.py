"""What PyTorch does and holds while code runs, without doing it: recorded on fake tensors."""

import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

__all__ = ["Operation", "Tape"]


@dataclass(frozen=True)
class Operation:
    """One call of an operator: what it computes and what passes through memory for it.

    ``flops`` counts a multiply-add as 2 and is 0 for all but convolutions and matrix products.
    ``kind`` tells apart what runs at different rates: see :func:`kind_of`; ``width`` is the smaller
    number of channels, or of features, on its two sides; ``filters`` is how many values a
    convolution's filters have, which are brought into another order at every call.
    """

    name: str
    owner: str
    phase: str
    kind: str
    width: int
    flops: int
    moved_bytes: int
    dtype: torch.dtype
    filters: int = 0


class Tape(TorchDispatchMode):
    """Records operations, the bytes alive and the most that were, and what came and went. Final.

    Args:
        owner: called at each operation, says to which layer it belongs.
    """

    def __init__(self, owner: Callable[[], str]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.operations: list[Operation] = []
        self.phase = ""
        self.alive = 0
        self.peak = 0
        self.events: list[tuple[int, int]] = []
        self._owner = owner
        self._sizes: dict[int, int] = {}

    def rewind(self) -> None:
        """Forget the operations and the peak; what is alive stays."""
        self.operations, self.peak = [], self.alive

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Run one operation and record it."""
        result = func(*args, **(kwargs or {}))
        inputs = [*tensors_in(args), *tensors_in((kwargs or {}).values())]
        outputs = [*tensors_in((result,))]
        for tensor in outputs:
            self._see(tensor)
        held = {each.untyped_storage()._cdata for each in inputs}
        fresh = [each for each in outputs if each.untyped_storage()._cdata not in held]
        if not fresh and not func._schema.is_mutable:  # a view
            return result
        kind, width = kind_of(func._overloadpacket.__name__, args)
        self.operations.append(
            Operation(
                name=func._overloadpacket.__name__,
                owner=self._owner(),
                phase=self.phase,
                kind=kind,
                width=width,
                flops=flops_of(func._overloadpacket, args, kwargs or {}, result),
                moved_bytes=sum(each.nbytes for each in (*inputs, *outputs)),
                dtype=(inputs or outputs)[0].dtype if inputs or outputs else torch.float32,
                filters=filters_of(func._overloadpacket.__name__, args),
            )
        )
        return result

    def _see(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self._sizes:
            return
        self._sizes[key] = storage.nbytes()
        self.events.append((key, storage.nbytes()))
        self.alive += storage.nbytes()
        self.peak = max(self.peak, self.alive)
        weakref.finalize(storage, self._gone, key)

    def _gone(self, key: int) -> None:
        self.alive -= self._sizes.pop(key)
        self.events.append((key, 0))


def tensors_in(values: Iterable[object]) -> Iterator[Tensor]:
    """Yield the tensors among an operation's arguments or results, those in lists too."""
    for each in values:
        if isinstance(each, Tensor):
            yield each
        elif isinstance(each, list | tuple):
            yield from tensors_in(each)


def flops_of(operator: Any, args: Sequence[Any], kwargs: Mapping[str, Any], result: object) -> int:
    """Return the floating-point operations of a convolution or matrix product, 0 for all else.

    PyTorch's own count takes the backward pass of a grouped convolution for that of a full one.
    """
    if operator is torch.ops.aten.convolution_backward:
        gradient, images, weight, transposed, wanted = *args[:3], args[7], args[10]
        places = images if transposed else gradient
        return int(2 * places.numel() * weight[0].numel() * sum(wanted[:2]))
    counted = flop_registry.get(operator)
    return int(counted(*args, **kwargs, out_val=result)) if counted else 0


def filters_of(name: str, args: Sequence[Any]) -> int:
    """Return the values of a convolution's filters, 0 for all else."""
    place = {"convolution": 1, "convolution_backward": 2}.get(name)
    return 0 if place is None else int(args[place].numel())


def kind_of(name: str, args: Sequence[Any]) -> tuple[str, int]:
    """Return the kind of an operation, by which its rate is known, and its width.

    ``conv`` (3x3 and larger), ``pointwise`` (1x1), ``grouped``, ``depthwise`` (also ``_strided``
    and, beyond 3x3, ``_large``: their kernels differ most) and ``stem`` (of few channels), each
    with ``_backward``; ``matrix``; ``norm`` and ``norm_backward``; ``memory`` for all else.
    """
    if name in ("mm", "addmm", "bmm", "baddbmm"):
        left = next(each for each in reversed(args) if isinstance(each, Tensor))
        return "matrix", min(left.shape)
    if name not in ("convolution", "convolution_backward"):
        norm = "norm" in name
        return ("norm_backward" if name.endswith("backward") else "norm") if norm else "memory", 0
    backward = name == "convolution_backward"
    weight, groups = (args[2], args[9]) if backward else (args[1], args[8])
    end = "_backward" if backward else ""
    width = min(weight.shape[0] // groups, weight.shape[1])
    kernel = weight.shape[2:].numel()
    if groups > 1 and weight.shape[1] == 1:
        strides = args[4] if backward else args[3]
        how = "_large" if kernel > 9 else "_strided" if max(strides) > 1 else ""
        return f"depthwise{how}{end}", weight.shape[0]
    if groups == 1 and weight.shape[1] < 8:
        return f"stem{end}", weight.shape[0]
    if groups > 1:
        return f"grouped{end}", width
    return f"pointwise{end}" if kernel == 1 else f"conv{end}", width
