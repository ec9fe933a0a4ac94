"""Changes of colour, for a whole batch: ``(N, C, H, W)`` float32 from 0 to 255, strengths ``(N,)``.

Brightness, contrast, saturation and hue are defined as in torchvision's functional transforms; the
others as in Pillow's ImageOps. Saturation and hue leave grey images (C = 1) as they are.
"""

import torch
from torch import Tensor

__all__ = [
    "autocontrast",
    "brightness",
    "contrast",
    "equalize",
    "hue",
    "posterize",
    "saturation",
    "sharpness",
    "solarize",
]

WEIGHTS = (0.299, 0.587, 0.114)  # of red, green and blue in grey: ITU-R 601-2


def brightness(pixels: Tensor, factor: Tensor) -> Tensor:
    """Multiply by ``factor``; 0 is black, 1 the image itself."""
    return blend(pixels, torch.zeros_like(factor)[:, None, None, None], factor)


def contrast(pixels: Tensor, factor: Tensor) -> Tensor:
    """Blend with the mean grey of each image; 0 is that grey, 1 the image itself."""
    return blend(pixels, grey(pixels).mean((1, 2, 3), keepdim=True), factor)


def saturation(pixels: Tensor, factor: Tensor) -> Tensor:
    """Blend with the grey image; 0 is grey, 1 the image itself."""
    return pixels if pixels.shape[1] == 1 else blend(pixels, grey(pixels), factor)


def hue(pixels: Tensor, shift: Tensor) -> Tensor:
    """Turn the hue by ``shift`` of the colour circle, from -0.5 to 0.5."""
    if pixels.shape[1] == 1:
        return pixels
    largest, smallest = pixels.amax(1), pixels.amin(1)
    span = largest - smallest
    safe = torch.where(span == 0, 1, span)
    red, green, blue = pixels.unbind(1)
    angle = torch.where(
        largest == red,
        (green - blue) / safe,
        torch.where(largest == green, 2 + (blue - red) / safe, 4 + (red - green) / safe),
    )
    turned = (angle / 6 + shift[:, None, None]) % 1
    parts = []
    for offset in (5, 3, 1):  # the closed form of HSV to RGB (Smith, 1978)
        k = (offset + turned * 6) % 6
        parts.append(largest - span * torch.minimum(k, 4 - k).clamp(0, 1))
    return torch.stack(parts, 1)


def sharpness(pixels: Tensor, factor: Tensor) -> Tensor:
    """Blend with a smoothed image; 0 is smoothed, 1 the image itself. The border stays."""
    if min(pixels.shape[2:]) < 3:
        return pixels
    kernel = torch.ones(3, 3, device=pixels.device)
    kernel[1, 1] = 5
    channels = pixels.shape[1]
    weights = (kernel / kernel.sum()).expand(channels, 1, 3, 3).contiguous()
    smooth = pixels.clone()
    smooth[:, :, 1:-1, 1:-1] = torch.nn.functional.conv2d(pixels, weights, groups=channels)
    return blend(pixels, smooth, factor)


def posterize(pixels: Tensor, bits: Tensor) -> Tensor:
    """Keep the upper ``bits`` of eight."""
    step = 2 ** (8 - bits.float())[:, None, None, None]
    return (pixels / step).floor() * step


def solarize(pixels: Tensor, threshold: Tensor) -> Tensor:
    """Invert what is at or above ``threshold``."""
    return torch.where(pixels >= threshold[:, None, None, None], 255 - pixels, pixels)


def autocontrast(pixels: Tensor) -> Tensor:
    """Stretch every channel to 0 to 255."""
    low, high = pixels.amin((2, 3), keepdim=True), pixels.amax((2, 3), keepdim=True)
    stretched = (pixels - low) * (255 / torch.where(high == low, 1, high - low))
    return torch.where(high == low, pixels, stretched)


def equalize(pixels: Tensor) -> Tensor:
    """Give every channel a flat histogram."""
    count, channels, height, width = pixels.shape
    levels = pixels.round().clamp(0, 255).long().flatten(2).flatten(0, 1)  # (N*C, H*W)
    rows = torch.arange(len(levels), device=pixels.device)[:, None] * 256
    histogram = torch.bincount((levels + rows).flatten(), minlength=256 * len(levels))
    histogram = histogram.view(-1, 256)
    last = histogram.gather(1, levels.amax(1, keepdim=True))
    step = (histogram.sum(1, keepdim=True) - last) // 255
    before = histogram.cumsum(1) - histogram
    table = ((before + step // 2) // step.clamp(min=1)).clamp(0, 255)
    table = torch.where(step == 0, torch.arange(256, device=pixels.device), table)
    return table.gather(1, levels).view(count, channels, height, width).to(pixels.dtype)


def grey(pixels: Tensor) -> Tensor:
    """Return ``(N, 1, H, W)``."""
    if pixels.shape[1] == 1:
        return pixels
    weights = torch.tensor(WEIGHTS, device=pixels.device)
    return (pixels * weights[:, None, None]).sum(1, keepdim=True)


def blend(pixels: Tensor, other: Tensor, factor: Tensor) -> Tensor:
    """Return ``other + factor * (pixels - other)``, kept between 0 and 255."""
    return torch.lerp(other.expand_as(pixels), pixels, factor[:, None, None, None]).clamp_(0, 255)
