"""Structured pruning: the weakest channels are cut out, and the network is physically smaller.

Which layers have their channels in common is read from the network's graph: what a sum adds must
keep the same channels, and what takes a tensor must lose those that the tensor loses. A channel is
as strong as its filters are, with the normalisation behind them. Source: Li et al., "Pruning
Filters for Efficient ConvNets", 2016; for groups of layers Fang et al., "DepGraph", 2023.
"""

import copy
from collections.abc import Iterable
from dataclasses import dataclass, field

import torch
from torch import Tensor, fx, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from convsmith.compression.fuse import scale_and_shift
from convsmith.compression.graph import WEIGHTED, called, graph_of, owner, parameters_of, shape_of
from convsmith.errors import ModelError

__all__ = ["Cut", "Pruned", "prune"]

aten = torch.ops.aten
ONE_BY_ONE = {  # operations that leave every channel where it is
    *(aten.relu, aten.relu_, aten.hardtanh, aten.hardtanh_, aten.leaky_relu, aten.leaky_relu_),
    *(aten.silu, aten.silu_, aten.gelu, aten.sigmoid, aten.hardswish, aten.hardswish_),
    *(aten.hardsigmoid, aten.hardsigmoid_, aten.dropout, aten.dropout_, aten.feature_dropout),
    *(aten.max_pool2d, aten.avg_pool2d, aten.adaptive_avg_pool2d, aten.adaptive_max_pool2d),
    *(aten.clone, aten.contiguous),
}
SUMS = {aten.add, aten.add_, aten.sub, aten.sub_, aten.mul, aten.mul_}
MULTIPLE = 8  # of channels that are kept, which vector units like


@dataclass(frozen=True)
class Cut:
    """Channels that are kept of some: the layers that make them, and how many there were."""

    layers: tuple[str, ...]
    channels: int
    kept: int


@dataclass(frozen=True)
class Pruned:
    """The smaller network, and what was cut; ``parameters`` are those before and after."""

    model: nn.Module
    cuts: tuple[Cut, ...]
    parameters: tuple[int, int]


@dataclass
class Space:
    """Channels that stay or go together: who makes them, who normalises them, who takes them."""

    channels: int
    makers: set[str] = field(default_factory=set)
    norms: set[str] = field(default_factory=set)
    takers: dict[str, int] = field(default_factory=dict)  # to inputs for each channel
    depthwise: set[str] = field(default_factory=set)
    pairs: set[tuple[str, str]] = field(default_factory=set)  # a maker and the norm behind it
    fixed: bool = False

    def join(self, other: "Space") -> None:
        """Take in all of another."""
        self.makers |= other.makers
        self.norms |= other.norms
        self.takers |= other.takers
        self.depthwise |= other.depthwise
        self.pairs |= other.pairs
        self.fixed |= other.fixed or self.channels != other.channels


class Spaces:
    """The channels of every tensor in a graph. Final."""

    def __init__(self, graph: fx.GraphModule, model: nn.Module) -> None:
        self._model = model
        self._of: dict[fx.Node, Space] = {}
        self._repeats: dict[fx.Node, int] = {}  # values of a channel after flattening
        self._made_by: dict[str, Space] = {}
        for node in graph.graph.nodes:
            self._visit(node)

    def all(self) -> list[Space]:
        """Return every space that has a maker, once, in order."""
        found: list[Space] = []
        for space in self._made_by.values():
            if not any(space is each for each in found):
                found.append(space)
        return found

    def _visit(self, node: fx.Node) -> None:
        kind = called(node)
        if kind in WEIGHTED:
            self._weighted(node)
        elif kind is aten.batch_norm:
            self._norm(node)
        elif kind in ONE_BY_ONE or (kind is aten.mean and over_places(node)):
            self._pass(node)
        elif kind is aten.flatten and node.args[1:2] == (1,):
            self._flatten(node)
        elif kind in SUMS:
            self._sum(node)
        elif node.op != "get_attr":
            self._fix(node.all_input_nodes)

    def _weighted(self, node: fx.Node) -> None:
        given = node.args[0]
        weight = parameters_of(node)[1]
        layer = None if weight is None else self._model.get_submodule(owner(weight))
        plain = isinstance(layer, nn.Linear) and len(shape_of(node)) == 2
        convolution = isinstance(layer, _ConvNd) and not isinstance(layer, _ConvTransposeNd)
        assert isinstance(given, fx.Node)
        if weight is None or not (plain or convolution):
            self._fix([given])
            return
        name, before = owner(weight), self._of.get(given)
        groups = layer.groups if isinstance(layer, _ConvNd) else 1
        channels = shape_of(node)[1]
        if groups > 1 and groups == channels == shape_of(given)[1]:
            if before is not None:
                before.depthwise.add(name)
                self._put(node, before, 1)
            return
        if before is not None:
            before.takers[name] = self._repeats[given]
        if groups > 1:
            self._fix([given])
            return
        space = self._made_by.get(name)
        if space is None:
            space = self._made_by[name] = Space(channels, {name})
        self._put(node, space, 1)

    def _norm(self, node: fx.Node) -> None:
        given = node.args[0]
        names = [each for each in parameters_of(node)[1:] if each is not None]
        assert isinstance(given, fx.Node)
        space = self._of.get(given)
        name = owner(names[0]) if names else ""
        known = bool(names) and isinstance(self._model.get_submodule(name), _BatchNorm)
        if space is None or not known or self._repeats[given] != 1:
            self._fix([given])
            return
        space.norms.add(name)
        weight = parameters_of(given)[1] if called(given) in WEIGHTED else None
        if weight is not None:
            space.pairs.add((owner(weight), name))
        self._put(node, space, 1)

    def _pass(self, node: fx.Node) -> None:
        given = node.args[0]
        assert isinstance(given, fx.Node)
        if given in self._of:
            self._put(node, self._of[given], self._repeats[given])

    def _flatten(self, node: fx.Node) -> None:
        given = node.args[0]
        assert isinstance(given, fx.Node)
        if given in self._of:
            places = shape_of(node)[1] // shape_of(given)[1]
            self._put(node, self._of[given], self._repeats[given] * places)

    def _sum(self, node: fx.Node) -> None:
        given = [each for each in node.args[:2] if isinstance(each, fx.Node)]
        spaces = [self._of.get(each) for each in given]
        first = spaces[0]
        same = all(
            len(shape_of(each)) == len(shape_of(node)) and shape_of(each)[1] == shape_of(node)[1]
            for each in given
        )
        if first is None or any(each is None for each in spaces) or not same:
            self._fix(given)
            return
        for other in spaces[1:]:
            assert other is not None
            self._join(first, other)
        self._put(node, first, self._repeats[given[0]])

    def _join(self, first: Space, other: Space) -> None:
        if first is other:
            return
        first.join(other)
        for known in (self._of, self._made_by):
            for key, space in known.items():
                if space is other:
                    known[key] = first  # type: ignore[index]

    def _put(self, node: fx.Node, space: Space, repeats: int) -> None:
        self._of[node], self._repeats[node] = space, repeats

    def _fix(self, nodes: Iterable[fx.Node]) -> None:
        for node in nodes:
            if node in self._of:
                self._of[node].fixed = True


def over_places(node: fx.Node) -> bool:
    """Return whether a mean is over height and width."""
    dims = node.args[1] if len(node.args) > 1 else None
    return isinstance(dims, list | tuple) and sorted(dims) in ([2, 3], [-2, -1])


def prune(model: nn.Module, example: Tensor, share: float) -> Pruned:
    """Return a copy of ``model`` without about ``share`` of its channels, the weakest ones.

    The channels that are kept are a multiple of 8 where there are as many; those of the logits
    and of the image all stay. The network is to be trained on.

    Raises:
        ModelError: its graph cannot be followed, or there is nothing that can be cut.
    """
    spaces = Spaces(graph_of(model, example), model)
    made = copy.deepcopy(model)
    cuts = []
    for space in spaces.all():
        kept = keep_count(space.channels, share)
        if space.fixed or kept == space.channels:
            continue
        chosen = strength(model, space).topk(kept).indices.sort().values
        cut(made, space, chosen)
        cuts.append(Cut(tuple(sorted(space.makers)), space.channels, kept))
    if not cuts:
        raise ModelError("no layer of this network has channels that can be cut")
    require_works(model, made, example)
    return Pruned(made, tuple(cuts), (size_of(model), size_of(made)))


def keep_count(channels: int, share: float) -> int:
    """Return how many channels stay."""
    kept = (1 - share) * channels
    if channels >= 2 * MULTIPLE:
        return min(channels, max(MULTIPLE, MULTIPLE * round(kept / MULTIPLE)))
    return min(channels, max(1, round(kept)))


def strength(model: nn.Module, space: Space) -> Tensor:
    """Return ``(channels,)`` float64: the norms of the filters, in units of each layer's mean."""
    norms = dict(space.pairs)
    total = torch.zeros(space.channels, dtype=torch.float64)
    for name in sorted(space.makers):
        weight = model.get_submodule(name).weight
        assert isinstance(weight, Tensor)
        norm = weight.detach().double().flatten(1).norm(dim=1).cpu()
        behind = model.get_submodule(norms[name]) if name in norms else None
        if isinstance(behind, _BatchNorm) and behind.running_var is not None:
            norm = norm * scale_and_shift(behind)[0].abs().cpu()
        total += norm / norm.mean().clamp(min=1e-12)
    return total


def cut(model: nn.Module, space: Space, kept: Tensor) -> None:
    """Keep only some channels of a space, in every layer that has them."""
    count = len(kept)
    for name in space.makers:
        layer = model.get_submodule(name)
        narrow(layer, ("weight", "bias"), 0, kept)
        setattr(layer, "out_features" if isinstance(layer, nn.Linear) else "out_channels", count)
    for name in space.depthwise:
        layer = model.get_submodule(name)
        narrow(layer, ("weight", "bias"), 0, kept)
        for each in ("in_channels", "out_channels", "groups"):
            setattr(layer, each, count)
    for name in space.norms:
        norm = model.get_submodule(name)
        narrow(norm, ("weight", "bias", "running_mean", "running_var"), 0, kept)
        norm.num_features = count  # type: ignore[assignment]
    for name, repeats in space.takers.items():
        layer = model.get_submodule(name)
        values = (kept[:, None] * repeats + torch.arange(repeats)).flatten()
        narrow(layer, ("weight",), 1, values)
        named = "in_features" if isinstance(layer, nn.Linear) else "in_channels"
        setattr(layer, named, len(values))


def narrow(module: nn.Module, names: Iterable[str], dim: int, kept: Tensor) -> None:
    """Keep some rows of a module's parameters and buffers."""
    for name in names:
        value = getattr(module, name, None)
        if value is None:
            continue
        rows = value.detach().index_select(dim, kept.to(value.device))
        if isinstance(value, nn.Parameter):
            rows = nn.Parameter(rows, value.requires_grad)
        setattr(module, name, rows)


def require_works(model: nn.Module, made: nn.Module, example: Tensor) -> None:
    """Raise ModelError if the smaller network does not run, or gives another shape."""
    with torch.inference_mode():
        expected = copy.deepcopy(model).eval()(example)
        try:
            given = copy.deepcopy(made).eval()(example)
        except RuntimeError as error:
            reason = str(error).splitlines()[0][:150]
            raise ModelError(f"the network cannot run with fewer channels: {reason}") from error
    if given.shape != expected.shape:
        raise ModelError("with fewer channels the network would give other outputs")


def size_of(model: nn.Module) -> int:
    """Return the number of parameters."""
    return sum(each.numel() for each in model.parameters())
