"""Convolution, normalisation and ReLU, in this order."""

from torch import nn

from convsmith.nn.norm import Norm, make_norm

__all__ = ["conv_norm_relu"]


def conv_norm_relu(
    in_channels: int,
    out_channels: int,
    *,
    stride: int = 1,
    bias: bool = False,
    norm: Norm = "batch",
) -> nn.Sequential:
    """Return a 3x3 convolution, BatchNorm and ReLU.

    Maps ``(N, C, H, W)`` to ``(N, C', H/stride, W/stride)``.

    ``bias`` adds one to the convolution; BatchNorm makes it redundant, but some published parameter
    counts include it. ``norm`` puts another normalisation in BatchNorm's place. Source: Ioffe &
    Szegedy, "Batch Normalization", 2015.
    """
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1, bias=bias),
        make_norm(norm, out_channels),
        nn.ReLU(inplace=True),
    )
