"""A network and its training step on fake tensors: layers, operations, and bytes alive."""

import copy
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional
from torch.optim import Optimizer

from convsmith.planning.heap import kept_heap
from convsmith.planning.tape import Operation, Tape
from convsmith.training.precision import make_precision
from convsmith.training.recompute import recomputed

__all__ = ["Layer", "Trace", "trace"]

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Layer:
    """One layer, or what a block computes besides its layers.

    ``macs`` are multiply-adds of convolutions and matrix products for one image, forward;
    ``kept_bytes`` what the backward pass needs of this layer, for a micro-batch. ``window`` is
    (kernel, stride) of a convolution or pooling, dilated; (0, 1) for all else.
    """

    name: str
    kind: str
    output: tuple[int, ...]
    parameters: int
    macs: int
    kept_bytes: int
    window: tuple[int, int]


@dataclass(frozen=True)
class Trace:
    """What a step of one micro-batch does and holds, in bytes; the peaks hold all of it at once.

    ``training_peak`` includes weights, gradients, the optimizer's state and the images;
    ``inference_peak`` weights and images. ``heap`` is what holding ``training_peak`` comes to where
    an allocator keeps what is freed.
    """

    micro_batch: int
    layers: tuple[Layer, ...]
    step: tuple[Operation, ...]
    inference: tuple[Operation, ...]
    weights: int
    gradients: int
    optimizer: int
    training_peak: int
    inference_peak: int
    heap: int

    @property
    def parameters(self) -> int:
        """Return the number of parameters."""
        return sum(layer.parameters for layer in self.layers)

    @property
    def macs(self) -> int:
        """Return the multiply-adds of one image's forward pass."""
        return sum(layer.macs for layer in self.layers)

    @property
    def kept(self) -> int:
        """Return the bytes that are kept for the backward pass."""
        return sum(layer.kept_bytes for layer in self.layers)


def trace(
    model: nn.Module,
    make_optimizer: Callable[[nn.Module], Optimizer],
    image: tuple[int, int, int],
    micro_batch: int,
    *,
    precision: str = "fp32",
    memory_format: torch.memory_format = torch.contiguous_format,
    recompute: tuple[str, ...] = (),
    only_step: bool = False,
) -> Trace:
    """Run a training step and an inference on fake tensors, which have shapes and no bytes.

    The network and random numbers are left as they were.

    Args:
        model: the network; a copy of it without bytes is run.
        make_optimizer: builds an optimizer for the copy.
        image: (channels, height, width).
        micro_batch: how many images at a time.
        precision: ``fp32``, ``bf16`` or ``fp16``.
        memory_format: of filters and images.
        recompute: the stages that keep only their inputs.
        only_step: leave out layers and inference, for speed.
    """
    owners = Owners()
    with on_fake_tensors(), Tape(owners.current) as tape:
        model = without_bytes(model, memory_format).train()
        weights = tape.alive
        optimizer = with_plain_steps(make_optimizer(model))
        images = torch.empty(micro_batch, *image).contiguous(memory_format=memory_format)
        labels = torch.zeros(micro_batch, dtype=torch.int64)
        layers = () if only_step else describe(model, images, precision, owners, tape)
        give_state(model, optimizer)
        tape.rewind()
        begun = len(tape.events)
        make_step(model, optimizer, (images, labels), precision, recompute, owners, tape)
        step, training_peak = tuple(tape.operations), tape.peak
        heap = max(training_peak, kept_heap(tape.events[:begun], tape.events[begun:]))
        gradients = sum(p.grad.nbytes for p in model.parameters() if p.grad is not None)
        optimizer.zero_grad(set_to_none=True)
        held = state_bytes(optimizer)
        tape.rewind()
        if not only_step:
            infer(model, images, precision, owners, tape)
        return Trace(
            micro_batch=micro_batch,
            layers=layers,
            step=step,
            inference=tuple(tape.operations),
            weights=weights,
            gradients=gradients,
            optimizer=held,
            training_peak=training_peak,
            inference_peak=tape.peak - held,
            heap=heap,
        )


@contextmanager
def on_fake_tensors() -> Iterator[None]:
    """Make every new tensor a fake one, whatever the caller is in; random numbers stay."""
    with (
        torch.random.fork_rng(devices=[]),
        torch.inference_mode(mode=False),
        torch.enable_grad(),
        warnings.catch_warnings(),
        FakeTensorMode(allow_fallback_kernels=False),
    ):
        warnings.simplefilter("ignore")  # of fake tensors that are asked for an address
        yield


def without_bytes(model: nn.Module, memory_format: torch.memory_format) -> nn.Module:
    """Return a copy of a network whose parameters and buffers are made here: where they are fake.

    Networks cannot be built there: some read random numbers or rates back while they are built.
    """
    made: dict[int, object] = {}
    for tensor in (*model.parameters(), *model.buffers()):
        layout = memory_format if tensor.ndim == 4 else torch.contiguous_format
        fake = torch.empty(tensor.shape, dtype=tensor.dtype, memory_format=layout)
        if isinstance(tensor, nn.Parameter):
            fake = nn.Parameter(fake, requires_grad=tensor.requires_grad)
        made[id(tensor)] = fake
    return copy.deepcopy(model, made)


def with_plain_steps(optimizer: Optimizer) -> Optimizer:
    """Return the optimizer, made to step a tensor at a time: fused steps have no fake kernels."""
    for group in optimizer.param_groups:
        group.update({key: False for key in ("fused", "foreach") if key in group})
    return optimizer


def give_state(model: nn.Module, optimizer: Optimizer) -> None:
    """Let the optimizer make its state, as it does in the first step."""
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.grad = torch.empty_like(parameter)
    optimizer.step()


def state_bytes(optimizer: Optimizer) -> int:
    """Return the bytes of the optimizer's state."""
    state = [each for values in optimizer.state.values() for each in values.values()]
    return sum(each.nbytes for each in state if isinstance(each, Tensor))


def forward(precision: str) -> AbstractContextManager[object]:
    """Return the context of a forward pass; on fake tensors any precision can be had."""
    return make_precision(precision, CPU).forward()


def make_step(
    model: nn.Module,
    optimizer: Optimizer,
    batch: tuple[Tensor, Tensor],
    precision: str,
    recompute: tuple[str, ...],
    owners: "Owners",
    tape: Tape,
) -> None:
    """Make one training step, as :func:`convsmith.training.fit.train_step` does."""
    images, labels = batch
    optimizer.zero_grad(set_to_none=True)
    tape.phase = "forward"
    with owners.watching(model), forward(precision), recomputed(model, recompute):
        logits = model(images)
    loss = functional.cross_entropy(logits.float(), labels)
    tape.phase = "backward"
    loss.backward()
    tape.phase = "update"
    optimizer.step()
    owners.forget()


def infer(model: nn.Module, images: Tensor, precision: str, owners: "Owners", tape: Tape) -> None:
    """Run the network as it is used once it has been trained."""
    model.eval()
    tape.phase = "inference"
    with torch.no_grad(), owners.watching(model), forward(precision):
        model(images)


class Owners:
    """Knows to which layer an operation belongs, in the forward and the backward pass. Final."""

    def __init__(self) -> None:
        self._inside: list[str] = []
        self._nodes: dict[object, str] = {}

    def current(self) -> str:
        """Return the innermost module that runs now; empty outside of the network."""
        if self._inside:
            return self._inside[-1]
        return self._nodes.get(torch._C._current_autograd_node(), "")

    @contextmanager
    def watching(self, model: nn.Module) -> Iterator[None]:
        """Follow which module runs; and which autograd nodes it makes."""
        handles = []
        for name, module in model.named_modules():
            handles += [
                module.register_forward_pre_hook(lambda *_, name=name: self._inside.append(name)),
                module.register_forward_hook(self._leave),
            ]
        try:
            yield
        finally:
            self._inside.clear()
            for handle in handles:
                handle.remove()

    def _leave(self, module: nn.Module, inputs: object, output: object) -> None:
        name = self._inside.pop()
        waiting = [output.grad_fn] if isinstance(output, Tensor) else []
        while waiting:
            node = waiting.pop()
            if node is not None and node not in self._nodes:
                self._nodes[node] = name
                waiting += [following for following, _ in node.next_functions]

    def forget(self) -> None:
        """Let go of the autograd nodes."""
        self._nodes.clear()


def describe(
    model: nn.Module, images: Tensor, precision: str, owners: Owners, tape: Tape
) -> tuple[Layer, ...]:
    """Run the network forward and return its layers, in the order in which they are first used."""
    modules = dict(model.named_modules())
    tape.rewind()
    with (
        first_outputs(modules) as outputs,
        owners.watching(model),
        forward(precision),
        bytes_kept(model, owners) as kept,
    ):
        model(images)
    owners.forget()
    macs: Counter[str] = Counter()
    for operation in tape.operations:
        macs[operation.owner] += operation.flops // 2
    return tuple(
        Layer(
            name=name,
            kind=type(modules[name]).__name__,
            output=shape,
            parameters=sum(p.numel() for p in modules[name].parameters(recurse=False)),
            macs=macs[name] // len(images),
            kept_bytes=kept[name],
            window=window(modules[name]),
        )
        for name, shape in outputs.items()
        if kept[name] or macs[name] or not any(True for _ in modules[name].children())
    )


@contextmanager
def first_outputs(modules: Mapping[str, nn.Module]) -> Iterator[dict[str, tuple[int, ...]]]:
    """Note the shapes of what modules return first, in the order in which they come."""
    outputs: dict[str, tuple[int, ...]] = {}

    def note(name: str, output: object) -> None:
        if isinstance(output, Tensor):
            outputs.setdefault(name, tuple(output.shape))

    handles = [
        module.register_forward_hook(lambda _, __, output, name=name: note(name, output))
        for name, module in modules.items()
    ]
    try:
        yield outputs
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def bytes_kept(model: nn.Module, owners: Owners) -> Iterator[Counter[str]]:
    """Count what autograd keeps for the backward pass, by layer; parameters are there anyway."""
    kept: Counter[str] = Counter()
    seen = {each.untyped_storage()._cdata for each in (*model.parameters(), *model.buffers())}
    holding: list[object] = []  # so that no storage takes the place of one that is gone

    def keep(tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        if storage._cdata not in seen:
            seen.add(storage._cdata)
            holding.append(storage)
            kept[owners.current()] += storage.nbytes()

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda _: torch.empty(0)):
        yield kept


def window(module: nn.Module) -> tuple[int, int]:
    """Return the height that one output value of a layer sees, and its stride."""
    if not isinstance(module, nn.Conv2d | nn.MaxPool2d | nn.AvgPool2d):
        return 0, 1
    kernel, stride, dilation = (
        value if isinstance(value, int) else value[0]
        for value in (module.kernel_size, module.stride, getattr(module, "dilation", 1))
    )
    return dilation * (kernel - 1) + 1, stride
