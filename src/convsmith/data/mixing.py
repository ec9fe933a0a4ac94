"""Mixing each image of a batch, and its label, with another one.

Mixup: Zhang et al., "mixup: Beyond Empirical Risk Minimization", 2017. CutMix: Yun et al., "CutMix:
Regularization Strategy to Train Strong Classifiers with Localizable Features", 2019.
"""

from dataclasses import dataclass

import numpy
import torch
from torch import Tensor
from torch.nn import functional

from convsmith.data.geometry import inside

__all__ = ["Mix", "draw_mix", "mix_labels", "mix_pixels"]


@dataclass(frozen=True)
class Mix:
    """How each of N images is mixed.

    ``partner`` is the index of the other, ``share`` what remains of the image itself. ``box``
    ``(N, 4)`` is the top, left, bottom and right of what a CutMix replaces; all 0 is a mixup.
    """

    partner: Tensor
    share: Tensor
    box: Tensor

    def to(self, device: torch.device) -> "Mix":
        """Return it on ``device``."""
        return Mix(self.partner.to(device), self.share.to(device), self.box.to(device))


def draw_mix(
    generator: torch.Generator,
    count: int,
    image_size: tuple[int, int],
    mixup: float,
    cutmix: float,
) -> Mix:
    """Draw for ``count`` images; with both strengths above 0, each image gets one or the other.

    The shares are drawn from Beta(a, a), a the strength. Of a mixup's share and its rest the larger
    one is the image's own; a CutMix's share is that of its whole pixels.
    """
    partner = torch.randperm(count, generator=generator)
    seed = int(torch.randint(2**62, (), generator=generator))
    draw = numpy.random.default_rng(seed)
    cut = torch.from_numpy(draw.random(count) < cutmix_share(mixup, cutmix))
    blended = draw.beta(mixup or 1, mixup or 1, count)
    blended = numpy.maximum(blended, 1 - blended)  # as likely, and the image itself shows more
    kept = draw.beta(cutmix or 1, cutmix or 1, count)
    centres = draw.random((2, count))
    height, width = image_size
    side = numpy.sqrt(1 - kept) / 2
    edges = [
        numpy.clip(numpy.round(size * (centre + sign * side)), 0, size)
        for sign in (-1, 1)
        for size, centre in ((height, centres[0]), (width, centres[1]))
    ]
    box = torch.from_numpy(numpy.stack(edges, 1)).long()
    area = (box[:, 2] - box[:, 0]) * (box[:, 3] - box[:, 1])
    share = torch.where(cut, 1 - area / (height * width), torch.from_numpy(blended))
    return Mix(partner, share.float(), box * cut[:, None])


def cutmix_share(mixup: float, cutmix: float) -> float:
    """Return the probability that an image is cut rather than blended."""
    return 0.5 if mixup and cutmix else float(bool(cutmix))


def mix_pixels(pixels: Tensor, mix: Mix) -> Tensor:
    """Return ``(N, C, H, W)`` float32 of images mixed with their partners."""
    own, other = pixels.float(), pixels[mix.partner].float()
    cut = (mix.box.sum(1) > 0)[:, None, None, None]
    blended = torch.lerp(other, own, mix.share[:, None, None, None])
    return torch.where(cut, torch.where(inside(mix.box, pixels), other, own), blended)


def mix_labels(labels: Tensor, mix: Mix, classes: int) -> Tensor:
    """Return ``(N, classes)`` float32 shares of the classes."""
    hot = functional.one_hot(labels, classes).float()
    return torch.lerp(hot[mix.partner], hot, mix.share[:, None])
