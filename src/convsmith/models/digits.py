"""A network for 8x8 digits that trains in seconds."""

from collections import OrderedDict

from torch import nn

from convsmith.bounds import Count, Fraction
from convsmith.models.size import require_size
from convsmith.nn.conv import conv_norm_relu
from convsmith.nn.dropout import Dropout
from convsmith.nn.norm import Norm

__all__ = ["digits_cnn"]


def digits_cnn(
    num_classes: int,
    in_channels: int,
    image_size: tuple[int, int],
    *,
    widths: tuple[Count, Count] = (32, 64),
    dropout: Fraction = 0.2,
    norm: Norm = "batch",
) -> nn.Module:
    """Two stages of two 3x3 convolutions with BatchNorm, each ending in max-pooling.

    32,32 / 64,64, then 256→10 after dropout: 67,754 parameters at 1x8x8 and 10 classes. ``norm``
    puts another normalisation in BatchNorm's place. Smallest image: 4x4.

    Raises:
        ModelError: the image is too small.
    """
    require_size("digits_cnn", image_size, 4)
    height, width = (side // 4 for side in image_size)
    channels = (in_channels, *widths)
    stages = {
        f"stage{number}": nn.Sequential(
            *conv_norm_relu(channels[number - 1], channels[number], norm=norm),
            *conv_norm_relu(channels[number], channels[number], norm=norm),
            nn.MaxPool2d(2),
        )
        for number in (1, 2)
    }
    return nn.Sequential(
        OrderedDict(
            **stages,
            flatten=nn.Flatten(),
            dropout=Dropout(dropout),
            head=nn.Linear(widths[1] * height * width, num_classes),
        )
    )
