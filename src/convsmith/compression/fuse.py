"""Folding BatchNorm into the convolution before it: the same function with fewer operations.

With ``s = gamma / sqrt(var + eps)``, ``bn(W x + b) = (s W) x + s (b - mean) + beta``. It is folded
where the network's graph shows that the normalisation's only input is that convolution's output,
and that nothing else uses it. Source: Jacob et al., "Quantization and Training of Neural Networks
for Efficient Integer-Arithmetic-Only Inference", 2017, section 3.2.
"""

import copy
from dataclasses import dataclass, replace

import torch
from torch import Tensor, fx, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from convsmith.compression.graph import WEIGHTED, called, graph_of, owner, parameters_of, shape_of
from convsmith.errors import ModelError

__all__ = ["Fused", "FusedLayer", "fuse"]

aten = torch.ops.aten
NORMS = {aten.batch_norm, aten.group_norm, aten.layer_norm, aten.instance_norm}
ACTIVATIONS = {
    aten.relu: "relu",
    aten.relu_: "relu",
    aten.hardtanh: "clip",
    aten.hardtanh_: "clip",
    aten.leaky_relu: "leaky relu",
    aten.leaky_relu_: "leaky relu",
    aten.max_pool2d: "max pooling",
    aten.avg_pool2d: "mean pooling",
    aten.add: "sum",
    aten.add_: "sum",
}
TOLERANCE = 1e-3  # of the largest output; single precision stays a hundred times below


@dataclass(frozen=True)
class FusedLayer:
    """A convolution, linear layer or normalisation, and what became of it.

    ``absorbed`` is the normalisation that is now in its weights; ``then`` is what its output goes
    through next, and ``joined`` what of that a runtime does in the same operation, once that is
    known; ``reason`` says why a normalisation was left.
    """

    name: str
    kind: str
    absorbed: str | None = None
    then: tuple[str, ...] = ()
    joined: tuple[str, ...] = ()
    reason: str = ""


@dataclass(frozen=True)
class Fused:
    """The network for inference, in evaluation mode, and what was done layer by layer."""

    model: nn.Module
    layers: tuple[FusedLayer, ...]


@dataclass(frozen=True)
class Pair:
    """A weighted layer, the normalisation behind it, and one of the places where they run."""

    layer: str
    norm: str
    weighted: fx.Node
    normalised: fx.Node


def fuse(model: nn.Module, example: Tensor) -> Fused:
    """Return a copy of ``model`` with every BatchNorm folded that can be; ``model`` stays as it is.

    ``example`` is a batch of at least two of the network's kind.

    Raises:
        ModelError: the network's graph cannot be followed, or the result differs.
    """
    graph = graph_of(model, example)
    fused = copy.deepcopy(model).eval()
    layers, done = [], set()
    for node in graph.graph.nodes:
        if called(node) in WEIGHTED:
            found = weighted_layer(fused, node)
            if found is not None and found.name not in done:
                done.add(found.name)
                layers.append(found)
        elif called(node) in NORMS:
            name = norm_name(node)
            pair, reason = pair_of(graph, fused, node)
            if name in done:
                continue
            done.add(name)
            if pair is None:
                layers.append(FusedLayer(name, kind_of(fused, name), reason=reason))
                continue
            fold(fused, pair)
            layers = [with_norm(each, pair) if each.name == pair.layer else each for each in layers]
    require_equal(model, fused, example)
    return Fused(fused, tuple(layers))


def weighted_layer(model: nn.Module, node: fx.Node) -> FusedLayer | None:
    """Return the layer that a node is, if its weight is a parameter."""
    weight = parameters_of(node)[1]
    if weight is None:
        return None
    return FusedLayer(owner(weight), kind_of(model, owner(weight)), then=after(node))


def with_norm(layer: FusedLayer, pair: Pair) -> FusedLayer:
    """Return a layer with its normalisation in it."""
    return replace(layer, absorbed=pair.norm, then=after(pair.normalised))


def after(node: fx.Node) -> tuple[str, ...]:
    """Return the activation, sum and pooling that follow, as far as nothing else looks between."""
    found: list[str] = []
    while len(node.users) == 1:
        node = next(iter(node.users))
        if called(node) not in ACTIVATIONS:
            break
        found.append(ACTIVATIONS[called(node)])
    return tuple(found)


def norm_name(node: fx.Node) -> str:
    """Return the name of the module that a normalisation's node belongs to."""
    parameters = [each for each in parameters_of(node) if each is not None]
    return owner(parameters[0]) if parameters else innermost(node)


def innermost(node: fx.Node) -> str:
    """Return the name of the module whose forward makes this operation."""
    stack = list(node.meta.get("nn_module_stack", {}).values())
    return str(stack[-1][0]) if stack else ""


def pair_of(graph: fx.GraphModule, model: nn.Module, norm: fx.Node) -> tuple[Pair | None, str]:
    """Return the layer that a normalisation can be folded into, or why there is none."""
    if called(norm) is not aten.batch_norm:
        return None, "it normalises each image by what is in it"
    if parameters_of(norm)[3] is None:
        return None, "it keeps no running statistics"
    name, before = norm_name(norm), norm.args[0]
    if not isinstance(before, fx.Node) or called(before) not in WEIGHTED:
        return None, "what comes before it is no convolution or linear layer"
    weight = parameters_of(before)[1]
    if weight is None:
        return None, "the weights before it are computed, not stored"
    if called(before) is aten.linear and len(shape_of(before)) != 2:
        return None, "it does not normalise the linear layer's features"
    layer = owner(weight)
    if not isinstance(model.get_submodule(layer), _ConvNd | nn.Linear):
        return None, f"{layer} is no layer of PyTorch's own kind"
    if not isinstance(model.get_submodule(name), _BatchNorm) or not alone(graph, model, norm, name):
        return None, "the module that it is in does more than normalise"
    weighted, norms = users_of(graph, weight), users_of(graph, str(parameters_of(norm)[3]))
    if len(weighted) != len(norms):
        return None, f"{layer} or it is used elsewhere too"
    if any(list(each.users) != [other] for each, other in zip(weighted, norms, strict=True)):
        return None, f"something else uses the output of {layer} too"
    return Pair(layer, name, before, norm), ""


def users_of(graph: fx.GraphModule, parameter: str) -> list[fx.Node]:
    """Return the nodes that use a parameter or buffer, in order."""
    return [node for node in graph.graph.nodes if parameter in parameters_of(node)]


def alone(graph: fx.GraphModule, model: nn.Module, norm: fx.Node, name: str) -> bool:
    """Return whether a BatchNorm module does nothing more, but for its children one after another.

    timm's BatchNorm has the activation as its child.
    """
    inside = {name, *(f"{name}.{child}" for child, _ in model.get_submodule(name).named_children())}
    for node in graph.graph.nodes:
        path = innermost(node)
        if path == name and node.op == "call_function" and called(node) is not aten.batch_norm:
            return False
        if path.startswith(f"{name}.") and path not in inside:
            return False
    return innermost(norm) == name


def fold(model: nn.Module, pair: Pair) -> None:
    """Put a normalisation into the weights of the layer before it, and take it out."""
    layer, norm = model.get_submodule(pair.layer), model.get_submodule(pair.norm)
    assert isinstance(layer, _ConvNd | nn.Linear)  # pair_of has seen to it
    assert isinstance(norm, _BatchNorm)
    scale, shift = scale_and_shift(norm)
    with torch.no_grad():
        weight = scaled(layer, scale).to(layer.weight.dtype)
        bias = torch.zeros_like(shift) if layer.bias is None else layer.bias.double()
        layer.weight.copy_(weight)
        layer.bias = nn.Parameter(
            (scale * bias + shift).to(layer.weight.dtype), layer.weight.requires_grad
        )
    children = list(norm.children())
    model.set_submodule(pair.norm, nn.Sequential(*children) if children else nn.Identity())


def scale_and_shift(norm: _BatchNorm) -> tuple[Tensor, Tensor]:
    """Return ``(C,)`` float64 ``s`` and ``t``, with which the normalisation is ``s x + t``."""
    assert norm.running_var is not None
    assert norm.running_mean is not None
    scale = (norm.running_var.double() + norm.eps).rsqrt()
    if norm.weight is not None:
        scale = scale * norm.weight.detach().double()
    shift = -norm.running_mean.double() * scale
    return scale, shift if norm.bias is None else shift + norm.bias.detach().double()


def scaled(layer: _ConvNd | nn.Linear, scale: Tensor) -> Tensor:
    """Return a layer's weight with every output channel multiplied, in float64."""
    weight = layer.weight.double()
    if not isinstance(layer, _ConvTransposeNd):
        return weight * scale.view(-1, *[1] * (weight.ndim - 1))
    # (in, out / groups, …): the first dimension says which group, the second which of its outputs
    grouped = weight.view(layer.groups, -1, *weight.shape[1:])
    factors = scale.view(layer.groups, 1, -1, *[1] * (weight.ndim - 2))
    return (grouped * factors).view_as(weight)


def kind_of(model: nn.Module, name: str) -> str:
    """Return what a layer is, in words."""
    module = model.get_submodule(name)
    if not isinstance(module, _ConvNd):
        return type(module).__name__
    transposed = "transposed " if isinstance(module, _ConvTransposeNd) else ""
    grouped = module.groups > 1
    depthwise = grouped and module.groups == module.in_channels == module.out_channels
    which = "depthwise " if depthwise else "grouped " if grouped else ""
    return f"{which}{transposed}convolution"


def require_equal(model: nn.Module, fused: nn.Module, example: Tensor) -> None:
    """Raise ModelError if the two networks say different things of some noise."""
    noise = torch.randn(example.shape, generator=torch.Generator().manual_seed(0))
    noise = noise.to(example)
    with torch.inference_mode():
        before, after = copy.deepcopy(model).eval()(noise), fused(noise)
    most = float((before - after).abs().max())
    if not most <= TOLERANCE * float(before.abs().max().clamp(min=1e-6)):
        raise ModelError(f"folding would change what the network says, by {most:.3g}")
