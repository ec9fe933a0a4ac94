"""Residual networks for small images."""

from collections import OrderedDict

from torch import nn

from convsmith.bounds import Count, Fraction
from convsmith.nn.conv import conv_norm_relu
from convsmith.nn.dropout import Dropout
from convsmith.nn.norm import Norm
from convsmith.nn.residual import BasicBlock

__all__ = ["resnet", "resnet_small", "resnet_wide3"]


def resnet_small(
    num_classes: int,
    in_channels: int,
    image_size: tuple[int, int],
    *,
    widths: tuple[Count, Count, Count, Count] = (64, 128, 256, 512),
    dropout: Fraction = 0.0,
    norm: Norm = "batch",
) -> nn.Module:
    """ResNet-18 with a 3x3 stem and no first pooling, for small images.

    Stages 64-128-256-512 of two basic blocks, global average pooling: 11,220,132 parameters and
    0.555 GMAC at 3x32x32 and 100 classes. ``dropout`` stands before the head. ``norm`` puts
    another normalisation in BatchNorm's place. Any image size.
    """
    return resnet(
        num_classes, in_channels, stem=widths[0], widths=widths, dropout=dropout, norm=norm
    )


def resnet_wide3(
    num_classes: int,
    in_channels: int,
    image_size: tuple[int, int],
    *,
    stem: Count = 64,
    widths: tuple[Count, Count, Count] = (128, 256, 512),
    block_dropout: Fraction = 0.3,
    dropout: Fraction = 0.3,
    norm: Norm = "batch",
) -> nn.Module:
    """Three wide stages of two basic blocks, the first without stride.

    Stem 64, stages 128-256-512: 11,072,164 parameters and 1.612 GMAC at 3x32x32 and 100 classes.
    ``block_dropout`` zeroes whole channels inside the blocks, ``dropout`` stands before the head.
    ``norm`` puts another normalisation in BatchNorm's place. Any image size.
    """
    return resnet(
        num_classes,
        in_channels,
        stem=stem,
        widths=widths,
        block_dropout=block_dropout,
        dropout=dropout,
        norm=norm,
    )


def resnet(
    num_classes: int,
    in_channels: int,
    *,
    stem: int,
    widths: tuple[int, ...],
    depth: int = 2,
    block_dropout: float = 0.0,
    dropout: float = 0.0,
    norm: Norm = "batch",
) -> nn.Sequential:
    """Build a residual network of basic blocks: one stage a width, each but the first at stride 2.

    Filters are initialised as in He et al., "Delving Deep into Rectifiers", 2015. ``norm`` puts
    another normalisation in BatchNorm's place.
    """
    stages: dict[str, nn.Module] = {}
    channels = stem
    for number, width in enumerate(widths, 1):
        blocks = []
        for index in range(depth):
            stride = 2 if number > 1 and index == 0 else 1
            blocks.append(BasicBlock(channels, width, stride, block_dropout, norm=norm))
            channels = width
        stages[f"stage{number}"] = nn.Sequential(*blocks)
    model = nn.Sequential(
        OrderedDict(
            stem=conv_norm_relu(in_channels, stem, norm=norm),
            **stages,
            pool=nn.AdaptiveAvgPool2d(1),
            flatten=nn.Flatten(),
            dropout=Dropout(dropout),
            head=nn.Linear(channels, num_classes),
        )
    )
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return model
