"""A small VGG with batch normalisation, for 32x32 images."""

from collections import OrderedDict

from torch import nn

from convsmith.bounds import Count, Fraction
from convsmith.models.size import require_size
from convsmith.nn.conv import conv_norm_relu
from convsmith.nn.dropout import Dropout
from convsmith.nn.norm import Norm, make_norm

__all__ = ["vgg_bn"]


def vgg_bn(
    num_classes: int,
    in_channels: int,
    image_size: tuple[int, int],
    *,
    widths: tuple[Count, Count, Count] = (64, 128, 256),
    hidden: Count = 512,
    dropout: Fraction = 0.5,
    norm: Norm = "batch",
) -> nn.Module:
    """Seven 3x3 convolutions with BatchNorm in three stages (2, 2, 3), each ending in max-pooling.

    64,64 / 128,128 / 256,256,256, then 4096→512 with BatchNorm→10: 3,841,610 parameters at 3x32x32
    and 10 classes (the convolutions have biases). Dropout stands before the last layer. ``norm``
    puts another normalisation in BatchNorm's place. Smallest image: 8x8. After Simonyan &
    Zisserman, "Very Deep Convolutional Networks", 2014.

    Raises:
        ModelError: the image is too small.
    """
    require_size("vgg_bn", image_size, 8)
    height, width = (side // 8 for side in image_size)
    stages: dict[str, nn.Module] = {}
    channels = in_channels
    for number, (out_channels, depth) in enumerate(zip(widths, (2, 2, 3), strict=True), 1):
        layers: list[nn.Module] = []
        for _ in range(depth):
            layers += conv_norm_relu(channels, out_channels, bias=True, norm=norm)
            channels = out_channels
        stages[f"stage{number}"] = nn.Sequential(*layers, nn.MaxPool2d(2))
    return nn.Sequential(
        OrderedDict(
            **stages,
            flatten=nn.Flatten(),
            hidden=nn.Sequential(
                nn.Linear(widths[2] * height * width, hidden),
                make_norm(norm, hidden, dims=1),
                nn.ReLU(inplace=True),
            ),
            dropout=Dropout(dropout),
            head=nn.Linear(hidden, num_classes),
        )
    )
