"""Small networks of the usual kinds, on which a machine is measured."""

from collections.abc import Callable

from torch import Tensor, nn

__all__ = ["NETWORKS"]


class Added(nn.Module):
    """``body(x) + shortcut(x)``, and a ReLU if so asked. Final."""

    def __init__(self, body: nn.Module, shortcut: nn.Module, *, relu: bool) -> None:
        super().__init__()
        self.body = body
        self.shortcut = shortcut
        self.last = nn.ReLU(inplace=True) if relu else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Return images of the body's output size."""
        return self.last(self.body(x) + self.shortcut(x))  # type: ignore[no-any-return]


def plain() -> nn.Module:
    """Return eight 3x3 convolutions with pooling after every second (VGG, 2014)."""
    layers: list[nn.Module] = []
    channels = 3
    for width in (32, 64, 128, 256):
        layers += [*normed(channels, width), *normed(width, width), nn.MaxPool2d(2)]
        channels = width
    return headed(layers, channels)


def residual() -> nn.Module:
    """Return four stages of two basic blocks (ResNet, 2015)."""
    layers, channels = normed(3, 32), 32
    for width in (32, 64, 128, 256):
        for number in range(2):
            stride = 2 if width > 32 and number == 0 else 1
            body = nn.Sequential(
                *normed(channels, width, stride=stride), *normed(width, width, relu=False)
            )
            same = channels == width and stride == 1
            around = [] if same else normed(channels, width, 1, stride=stride, relu=False)
            layers.append(Added(body, nn.Sequential(*around), relu=True))
            channels = width
    return headed(layers, channels)


def inverted() -> nn.Module:
    """Return four stages of two inverted bottlenecks (MobileNetV2, 2018)."""
    layers, channels = normed(3, 16), 16
    for width in (16, 32, 64, 128):
        for number in range(2):
            stride = 2 if width > 16 and number == 0 else 1
            wide = 4 * channels
            body = nn.Sequential(
                *normed(channels, wide, 1),
                *normed(wide, wide, stride=stride, groups=wide),
                *normed(wide, width, 1, relu=False),
            )
            same = channels == width and stride == 1
            layers.append(Added(body, nn.Identity(), relu=False) if same else body)
            channels = width
    return headed(layers, channels)


def tiny() -> nn.Module:
    """Return a network that takes next to nothing."""
    return headed(normed(3, 8), 8)


def normed(
    inner: int, outer: int, kernel: int = 3, *, stride: int = 1, groups: int = 1, relu: bool = True
) -> list[nn.Module]:
    """Return a convolution, BatchNorm and a ReLU."""
    layers: list[nn.Module] = [
        nn.Conv2d(inner, outer, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outer),
    ]
    return [*layers, nn.ReLU(inplace=True)] if relu else layers


def headed(layers: list[nn.Module], channels: int) -> nn.Module:
    """Return the layers with a head for ten classes."""
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 10))


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "inverted": inverted,
    "plain": plain,
    "residual": residual,
    "tiny": tiny,
}
