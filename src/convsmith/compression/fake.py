"""Training a network to bear integers: it computes with real numbers that were rounded as integers.

What will be uint8 when the network is quantised is rounded so while it trains, at the same places:
what convolutions, linear layers, sums and means take and give, after the ReLU that follows. The
gradient passes through the rounding, and not where a value was cut off. Source: Jacob et al.,
"Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference",
2017.
"""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, fx, nn

from convsmith.compression.graph import WEIGHTED, called, graph_of, path_of

__all__ = ["FakeActivation", "FakeWeight", "fake_quantised", "trained_weights"]

aten = torch.ops.aten
CLAMPS = {aten.relu, aten.relu_, aten.hardtanh, aten.hardtanh_}
INTEGER = {aten.add, aten.add_, aten.mul, aten.mul_, aten.cat} | {
    aten.avg_pool2d,
    aten.adaptive_avg_pool2d,
    aten.mean,
}
SAME_SCALE = {aten.max_pool2d, aten.flatten, aten.view, aten.reshape, aten.dropout, aten.dropout_}
SLOWNESS = 0.01  # of the ranges' moving average
PREFIX = "rounded_"


class FakeActivation(nn.Module):
    """Round to the 256 values of a uint8 between a lowest and a highest value. Any shape. Final.

    While training, the two follow the lowest and highest value of each batch.
    """

    low: Tensor
    high: Tensor
    seen: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("low", torch.zeros(()))
        self.register_buffer("high", torch.zeros(()))
        self.register_buffer("seen", torch.zeros((), dtype=torch.bool))

    def forward(self, x: Tensor) -> Tensor:
        """Return the rounded values, in single precision."""
        x = x.float()
        if self.training:
            self._watch(x.detach())
        scale = ((self.high - self.low) / 255).clamp(min=1e-12)
        zero = (-self.low / scale).round().to(torch.int32)
        return torch.fake_quantize_per_tensor_affine(x, scale, zero, 0, 255)

    def _watch(self, x: Tensor) -> None:
        low, high = torch.aminmax(x)
        share = torch.where(self.seen, SLOWNESS, 1.0)
        self.low.lerp_(low.clamp(max=0), share)
        self.high.lerp_(high.clamp(min=0), share)
        self.seen.fill_(True)


class FakeWeight(nn.Module):
    """Round a weight to int8 with a scale for each output channel, which is dimension ``axis``.

    It is rounded times ``factors``, which are those of the normalisation where it will be in the
    weight.
    """

    factors: Tensor

    def __init__(self, axis: int, largest: int, factors: Sequence[float] = (1.0,)) -> None:
        super().__init__()
        self.axis = axis
        self.largest = largest
        self.register_buffer("factors", torch.tensor(factors))

    def forward(self, weight: Tensor) -> Tensor:
        """Return the rounded weight."""
        factors = self.factors.view(-1, *[1] * (weight.ndim - 2))
        return self._rounded(weight * factors) / factors

    def _rounded(self, weight: Tensor) -> Tensor:
        others = [each for each in range(weight.ndim) if each != self.axis]
        scales = (weight.detach().abs().amax(others) / self.largest).clamp(min=1e-12)
        zeros = torch.zeros_like(scales, dtype=torch.int32)
        return torch.fake_quantize_per_channel_affine(
            weight, scales, zeros, self.axis, -self.largest, self.largest
        )


def fake_quantised(
    model: nn.Module, example: Tensor, *, largest: int, factors: Sequence[float] = (1.0,)
) -> fx.GraphModule:
    """Return a network to train, of the weights of ``model`` and under their names.

    Args:
        model: a network whose normalisations are folded; it stays as it is.
        example: a batch of at least two of its kind.
        largest: the largest int8 weight.
        factors: what the first layer's weights will be multiplied by, for each channel of images.

    Raises:
        ModelError: its graph cannot be followed.
    """
    graph = graph_of(model, example)
    chosen = [node for node in graph.graph.nodes if called(node) in WEIGHTED | INTEGER]
    for node in list(dict.fromkeys(rounded(chosen))):
        insert_after(graph, node, FakeActivation())
    for node in chosen:
        if called(node) in WEIGHTED and path_of(node.args[1]) is not None:
            transposed = "transpose" in str(node.target)
            first = isinstance(node.args[0], fx.Node) and node.args[0].op == "placeholder"
            fake = FakeWeight(int(transposed), largest, factors if first else (1.0,))
            insert_before(graph, node, fake)
    graph.graph.lint()
    graph.recompile()
    return graph


def rounded(chosen: Iterable[fx.Node]) -> Iterable[fx.Node]:
    """Yield the nodes whose values integers will stand for."""
    for node in chosen:
        taken = node.args[:1] if called(node) in WEIGHTED else flat(node.args)
        for given in taken:
            source = source_of(given)
            if source is not None and source.op == "call_function":
                yield source
        after = node
        while len(after.users) == 1 and called(following := next(iter(after.users))) in CLAMPS:
            after = following
        if not any(user.op == "output" for user in after.users):
            yield after


def source_of(given: object) -> fx.Node | None:
    """Return the node whose values are given, where others only moved them."""
    while isinstance(given, fx.Node) and called(given) in SAME_SCALE:
        given = given.args[0]
    return given if isinstance(given, fx.Node) else None


def flat(arguments: Iterable[object]) -> Iterable[object]:
    """Yield arguments, those in lists too."""
    for each in arguments:
        if isinstance(each, list | tuple):
            yield from flat(each)
        else:
            yield each


def insert_after(graph: fx.GraphModule, node: fx.Node, module: nn.Module) -> None:
    """Let everything that takes a node's output take what a module makes of it."""
    name = f"{PREFIX}{node.name}"
    graph.add_submodule(name, module)
    with graph.graph.inserting_after(node):
        made = graph.graph.call_module(name, (node,))
    node.replace_all_uses_with(made, delete_user_cb=lambda user: user is not made)


def insert_before(graph: fx.GraphModule, node: fx.Node, module: nn.Module) -> None:
    """Let a layer take what a module makes of its weight."""
    name = f"{PREFIX}weight_{node.name}"
    graph.add_submodule(name, module)
    weight = node.args[1]
    assert isinstance(weight, fx.Node)
    with graph.graph.inserting_before(node):
        node.update_arg(1, graph.graph.call_module(name, (weight,)))


def trained_weights(graph: nn.Module) -> dict[str, Tensor]:
    """Return the weights of a network that :func:`fake_quantised` made, without its ranges."""
    return {
        name: value for name, value in graph.state_dict().items() if not name.startswith(PREFIX)
    }
