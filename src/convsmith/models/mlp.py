"""A network without convolutions: the baseline, and the one that takes points."""

from collections import OrderedDict

from torch import nn

from convsmith.bounds import Count, Fraction
from convsmith.nn.dropout import Dropout

__all__ = ["mlp"]


def mlp(
    num_classes: int,
    in_channels: int,
    image_size: tuple[int, int],
    *,
    widths: tuple[Count, ...] = (256, 128),
    dropout: Fraction = 0.0,
) -> nn.Module:
    """Hidden layers (256→128) with ReLU on the flattened image; any image size, and points too."""
    layers: dict[str, nn.Module] = {"flatten": nn.Flatten()}
    features = in_channels * image_size[0] * image_size[1]
    for number, width in enumerate(widths, 1):
        layers[f"hidden{number}"] = nn.Sequential(
            nn.Linear(features, width), nn.ReLU(inplace=True), Dropout(dropout)
        )
        features = width
    return nn.Sequential(OrderedDict(**layers, head=nn.Linear(features, num_classes)))
