"""A network as a graph of operations: what feeds what, and whose parameters it uses."""

import copy
from typing import Any

import torch
from torch import Tensor, fx, nn

from convsmith.errors import ModelError

__all__ = ["WEIGHTED", "called", "graph_of", "owner", "parameters_of", "path_of", "shape_of"]

aten = torch.ops.aten
WEIGHTED = {
    aten.conv1d,
    aten.conv2d,
    aten.conv3d,
    aten.conv_transpose1d,
    aten.conv_transpose2d,
    aten.conv_transpose3d,
    aten.linear,
}
"""The operations whose second argument is a weight."""


def graph_of(model: nn.Module, example: Tensor) -> fx.GraphModule:
    """Return what ``model`` does in evaluation, as a graph of ATen operations on a copy of it.

    The graph's parameters and buffers have the names that they have in ``model``; the first
    dimension may be any. ``example`` is a batch of at least two.

    Raises:
        ModelError: what the network does depends on the values of its input.
    """
    copied = copy.deepcopy(model).eval()
    try:
        with torch.no_grad():
            sizes = ({0: torch.export.Dim.AUTO},)
            exported = torch.export.export(copied, (example,), dynamic_shapes=sizes)
    except Exception as error:  # whatever the exporter does not know
        reason = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise ModelError(f"the network's graph cannot be followed: {reason}") from error
    unlifted = exported.module(check_guards=False)
    return fx.GraphModule(unlifted, unlifted.graph)  # this one can be trained


def called(node: fx.Node) -> Any:
    """Return the operation of a node without its overload, such as ``torch.ops.aten.conv2d``."""
    return getattr(node.target, "overloadpacket", None) if node.op == "call_function" else None


def parameters_of(node: fx.Node) -> tuple[str | None, ...]:
    """Return, for each argument, the name of the parameter or buffer that it is, if it is one."""
    return tuple(path_of(each) for each in node.args)


def path_of(argument: object) -> str | None:
    """Return the name of a parameter or buffer, None for everything else."""
    if isinstance(argument, fx.Node) and argument.op == "get_attr":
        return str(argument.target)
    return None


def owner(parameter: str) -> str:
    """Return the name of the module that holds a parameter."""
    return parameter.rpartition(".")[0]


def shape_of(node: fx.Node) -> tuple[int, ...]:
    """Return the shape of what a node gives; the batch is the size that the graph has for it."""
    return tuple(node.meta["val"].shape)
