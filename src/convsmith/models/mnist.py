"""Two small networks for 28x28 digits and clothes."""

from collections import OrderedDict

from torch import nn

from convsmith.bounds import Count, Fraction
from convsmith.models.size import require_size
from convsmith.nn.conv import conv_norm_relu
from convsmith.nn.dropout import Dropout
from convsmith.nn.norm import Norm, make_norm

__all__ = ["mnist_bn", "mnist_cnn"]


def mnist_cnn(
    num_classes: int,
    in_channels: int,
    image_size: tuple[int, int],
    *,
    widths: tuple[Count, Count] = (32, 64),
    hidden: Count = 128,
    dropout: Fraction = 0.5,
) -> nn.Module:
    """Two 5x5 convolutions without padding, each with ReLU and max-pooling, and a hidden layer.

    conv 32 – pool – conv 64 – pool – 1024→128→10: 184,586 parameters at 1x28x28 and 10 classes.
    Dropout stands before the last layer. Smallest image: 16x16.

    Raises:
        ModelError: the image is too small.
    """
    require_size("mnist_cnn", image_size, 16)
    height, width = (((side - 4) // 2 - 4) // 2 for side in image_size)
    return nn.Sequential(
        OrderedDict(
            stage1=conv_pool(in_channels, widths[0]),
            stage2=conv_pool(widths[0], widths[1]),
            flatten=nn.Flatten(),
            hidden=nn.Sequential(
                nn.Linear(widths[1] * height * width, hidden), nn.ReLU(inplace=True)
            ),
            dropout=Dropout(dropout),
            head=nn.Linear(hidden, num_classes),
        )
    )


def conv_pool(in_channels: int, out_channels: int) -> nn.Sequential:
    """Return a 5x5 convolution without padding, ReLU and 2x2 max-pooling."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 5), nn.MaxPool2d(2), nn.ReLU(inplace=True)
    )


def mnist_bn(
    num_classes: int,
    in_channels: int,
    image_size: tuple[int, int],
    *,
    widths: tuple[Count, Count, Count] = (32, 64, 128),
    hidden: Count = 256,
    dropout: Fraction = 0.3,
    norm: Norm = "batch",
) -> nn.Module:
    """Three 3x3 convolutions with BatchNorm and max-pooling, and a hidden layer with BatchNorm.

    32-64-128, 1152→256→10: 391,370 parameters at 1x28x28 and 10 classes (the convolutions have
    biases). Dropout stands before the last layer. ``norm`` puts another normalisation
    in BatchNorm's place. Smallest image: 8x8.

    Raises:
        ModelError: the image is too small.
    """
    require_size("mnist_bn", image_size, 8)
    height, width = (side // 8 for side in image_size)
    channels = (in_channels, *widths)
    stages = {
        f"stage{number}": nn.Sequential(
            *conv_norm_relu(channels[number - 1], channels[number], bias=True, norm=norm),
            nn.MaxPool2d(2),
        )
        for number in (1, 2, 3)
    }
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
