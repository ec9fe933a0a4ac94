"""Images made worse in the ways that cameras and networks of other people make them worse.

The kinds and their five strengths are of Hendrycks & Dietterich 2019, "Benchmarking neural network
robustness to common corruptions and perturbations": those of CIFAR-10-C for images of up to 64
pixels, those of ImageNet-C for larger ones. They are computed here anew, so the pixels are not
those of the published sets.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

__all__ = ["CORRUPTIONS", "Corruption", "blur", "brightness", "jpeg", "noise"]

SMALL = 64  # pixels
TRUNCATE = 4.0  # deviations after which a blur's kernel ends

Change = Callable[[Tensor, float, torch.Generator], Tensor]
"""Maps ``(N, C, H, W)`` uint8 and a setting to the same shape, drawing from the generator."""


@dataclass(frozen=True)
class Corruption:
    """One kind: what it does, what its setting is, and the settings of strengths 1 to 5."""

    change: Change
    setting: str
    small: tuple[float, float, float, float, float]
    large: tuple[float, float, float, float, float]

    def settings(self, image_size: tuple[int, int]) -> tuple[float, ...]:
        """Return the five settings for images of that height and width."""
        return self.small if max(image_size) <= SMALL else self.large


def noise(pixels: Tensor, deviation: float, draw: torch.Generator) -> Tensor:
    """Add Gaussian noise; ``deviation`` is a share of white."""
    added = torch.empty(pixels.shape).normal_(0, 255 * deviation, generator=draw)
    return to_uint8(pixels + added)


def blur(pixels: Tensor, deviation: float, draw: torch.Generator) -> Tensor:
    """Blur with a Gaussian whose ``deviation`` is in pixels; the edge goes on outwards."""
    reach = int(TRUNCATE * deviation + 0.5)
    places = torch.arange(-reach, reach + 1, dtype=torch.float32)
    kernel = (-0.5 * (places / deviation).square()).exp()
    kernel = kernel / kernel.sum()
    count, channels, height, width = pixels.shape
    planes = pixels.float().reshape(count * channels, 1, height, width)
    across = functional.pad(planes, (reach, reach, 0, 0), mode="replicate")
    across = functional.conv2d(across, kernel.view(1, 1, 1, -1))
    down = functional.pad(across, (0, 0, reach, reach), mode="replicate")
    return to_uint8(functional.conv2d(down, kernel.view(1, 1, -1, 1)).view(pixels.shape))


def brightness(pixels: Tensor, added: float, draw: torch.Generator) -> Tensor:
    """Add a share of white to the brightest channel, keeping hue and saturation (HSV's value)."""
    value = pixels.amax(1, keepdim=True).float()
    raised = (value + 255 * added).clamp(max=255)
    return to_uint8(torch.where(value > 0, pixels * raised / value.clamp(min=1), raised))


def jpeg(pixels: Tensor, quality: float, draw: torch.Generator) -> Tensor:
    """Store and read again as JPEG; images have one or three channels."""
    return torch.stack([recoded(each, int(quality)) for each in pixels])


def recoded(pixels: Tensor, quality: int) -> Tensor:
    """Return one ``(C, H, W)`` image after JPEG."""
    channels, height, width = pixels.shape
    array = pixels[0] if channels == 1 else pixels.permute(1, 2, 0)
    file = io.BytesIO()
    Image.fromarray(array.contiguous().numpy()).save(file, "JPEG", quality=quality)
    with Image.open(file) as image:
        content = bytearray(image.tobytes())
    return (
        torch.frombuffer(content, dtype=torch.uint8).view(height, width, channels).permute(2, 0, 1)
    )


def to_uint8(values: Tensor) -> Tensor:
    """Round to the nearest of 0 to 255."""
    return values.round().clamp(0, 255).to(torch.uint8)


CORRUPTIONS: dict[str, Corruption] = {
    "noise": Corruption(
        noise, "deviation", (0.04, 0.06, 0.08, 0.09, 0.10), (0.08, 0.12, 0.18, 0.26, 0.38)
    ),
    "blur": Corruption(blur, "pixels", (0.4, 0.6, 0.7, 0.8, 1.0), (1, 2, 3, 4, 6)),
    "brightness": Corruption(
        brightness, "added", (0.05, 0.1, 0.15, 0.2, 0.3), (0.1, 0.2, 0.3, 0.4, 0.5)
    ),
    "jpeg": Corruption(jpeg, "quality", (80, 65, 58, 50, 40), (25, 18, 15, 10, 7)),
}
