"""A compact network without normalisation, for small cards and first experiments."""

from collections import OrderedDict

from torch import nn

from convsmith.bounds import Count, Fraction
from convsmith.models.size import require_size
from convsmith.nn.dropout import Dropout

__all__ = ["compact_cnn"]


def compact_cnn(
    num_classes: int,
    in_channels: int,
    image_size: tuple[int, int],
    *,
    widths: tuple[Count, Count, Count] = (64, 128, 256),
    hidden: Count = 512,
    dropout: Fraction = 0.5,
) -> nn.Module:
    """Three 3x3 convolutions, each with ReLU and max-pooling, and a hidden layer.

    64-128-256, 4096→512→10: 2,473,610 parameters at 3x32x32 and 10 classes. Dropout stands before
    and after the hidden layer. Smallest image: 8x8.

    Raises:
        ModelError: the image is too small.
    """
    require_size("compact_cnn", image_size, 8)
    height, width = (side // 8 for side in image_size)
    channels = (in_channels, *widths)
    stages = {
        f"stage{number}": nn.Sequential(
            nn.Conv2d(channels[number - 1], channels[number], 3, padding=1),
            nn.MaxPool2d(2),
            nn.ReLU(inplace=True),
        )
        for number in (1, 2, 3)
    }
    return nn.Sequential(
        OrderedDict(
            **stages,
            flatten=nn.Flatten(),
            dropout1=Dropout(dropout),
            hidden=nn.Sequential(
                nn.Linear(widths[2] * height * width, hidden), nn.ReLU(inplace=True)
            ),
            dropout2=Dropout(dropout),
            head=nn.Linear(hidden, num_classes),
        )
    )
