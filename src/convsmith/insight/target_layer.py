"""Which layer a class activation map is made from: the end of the last convolutional stage."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor, nn

from convsmith.errors import UserError, did_you_mean
from convsmith.insight.unchanged import unchanged

__all__ = ["target_layer"]

Seen = tuple[str, tuple[int, int]]
"""A layer's name, and the height and width of what it gave."""


def target_layer(model: nn.Module, images: Tensor, layer: str | None = None) -> str:
    """Return the name of the layer to explain; by default the end of the last convolutional stage.

    That is what gave the last maps as large as those of the last convolution: its normalisation,
    its activation, its residual block, its stage, but no pooling after it. One image is passed
    through the network to see it. In a vision transformer the only convolution cuts the patches.

    Args:
        model: the network.
        images: ``(N, C, H, W)``, normalised; the first is used.
        layer: a name to check instead, such as ``stage3`` or ``layer4.1.conv2``.

    Raises:
        UserError: there is no such layer, or none that gives maps.
    """
    names = dict(model.named_modules())
    if layer is not None and (layer not in names or not layer):
        hint = did_you_mean(layer, names)
        raise UserError(f"the network has no layer {layer!r}{hint}; {top_level(model)}")
    order: list[Seen] = []
    with unchanged(model), recorded(model, order), torch.no_grad():
        model(images[:1])
    if layer is None:
        convolutions = [name for name, each in names.items() if isinstance(each, nn.Conv2d)]
        return last_stage(order, convolutions)
    if layer not in [name for name, _ in order]:
        raise UserError(
            f"the layer {layer!r} gives no maps (N, C, H, W) larger than one place; "
            f"{top_level(model)}"
        )
    return layer


@contextmanager
def recorded(model: nn.Module, order: list[Seen]) -> Iterator[None]:
    """Append every layer that gives maps to ``order``, when it is done."""
    with ExitStack() as hooks:
        for name, module in model.named_modules():

            def record(module: nn.Module, inputs: object, output: object, name: str = name) -> None:
                if isinstance(output, Tensor) and output.ndim == 4:
                    size = (output.shape[2], output.shape[3])
                    if name and size != (1, 1):
                        order.append((name, size))

            hooks.callback(module.register_forward_hook(record).remove)
        yield


def last_stage(order: Sequence[Seen], convolutions: Sequence[str]) -> str:
    """Return the last layer that gave maps of the last convolution's size, before they shrank."""
    starts = [place for place, (name, _) in enumerate(order) if name in convolutions]
    if not starts:
        raise UserError(
            "the network has no convolution that gives maps: choose the method occlusion or "
            "integrated-gradients"
        )
    found, (height, width) = order[starts[-1]]
    for name, (rows, columns) in order[starts[-1] :]:
        if (rows, columns) == (height, width):
            found = name
        elif rows * columns < height * width:  # pooled; channels-last blocks look larger meanwhile
            break
    return found


def top_level(model: nn.Module) -> str:
    """Return the network's parts in words."""
    return f"its parts are {', '.join(name for name, _ in model.named_children())}"
