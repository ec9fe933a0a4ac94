"""The basic residual block: two 3x3 convolutions and a shortcut around them."""

from torch import Tensor, nn
from torch.nn import functional

from convsmith.nn.norm import Norm, make_norm

__all__ = ["BasicBlock"]


class BasicBlock(nn.Module):
    """``relu(bn(conv(dropout(relu(bn(conv(x)))))) + shortcut(x))``.

    The shortcut is the identity, or a 1x1 convolution with normalisation where the shape changes.
    ``(N, C, H, W)`` to ``(N, C', H/stride, W/stride)``, rounded up.

    ``dropout`` is the probability with which a whole channel is zeroed between the convolutions, as
    in Zagoruyko & Komodakis, "Wide Residual Networks", 2016. ``norm`` puts another normalisation in
    BatchNorm's place. Source of the block: He et al., "Deep Residual Learning for Image
    Recognition", 2015.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int = 1,
        dropout: float = 0.0,
        *,
        norm: Norm = "batch",
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)
        self.bn1 = make_norm(norm, out_channels)
        self.dropout = nn.Dropout2d(dropout) if dropout else nn.Identity()
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.bn2 = make_norm(norm, out_channels)
        self.downsample: nn.Module = nn.Identity()
        if stride != 1 or in_channels != out_channels:
            self.downsample = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, stride, bias=False),
                make_norm(norm, out_channels),
            )

    def forward(self, x: Tensor) -> Tensor:
        """Apply the block."""
        out = functional.relu(self.bn1(self.conv1(x)), inplace=True)
        out = self.bn2(self.conv2(self.dropout(out)))
        out += self.downsample(x)
        return functional.relu(out, inplace=True)
