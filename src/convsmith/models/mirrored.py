"""A network that sees every image twice: as it is, and in the mirror."""

from torch import Tensor, nn

__all__ = ["Mirrored"]


class Mirrored(nn.Module):
    """The mean of a network's logits for an image and for its mirror image. Final.

    ``(N, C, H, W)`` to ``(N, classes)``; twice the work. Source: Krizhevsky et al., "ImageNet
    Classification with Deep Convolutional Neural Networks", 2012, section 4.1.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """Return the mean of the logits."""
        logits: Tensor = (self.network(x) + self.network(x.flip(3))) / 2
        return logits
