"""Whether a map marks what a network goes by: deletion and insertion, against the map elsewhere."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from convsmith.insight.unchanged import unchanged
from convsmith.randomness import generator

__all__ = ["Faithfulness", "blurred", "class_curve", "faithfulness"]

BATCH = 64  # images in one pass
LEAST = 0.1  # a probability: a class below it has too little to lose
MARGIN = 0.02  # of a probability: a smaller difference is none
ENOUGH = 0.75  # of the displaced maps must be beaten


@dataclass(frozen=True)
class Faithfulness:
    """How a map does against itself put elsewhere; areas under curves of the class's probability.

    ``deletion`` is better low: the curve while what is marked most is taken away first, down to the
    mean colour. ``insertion`` is better high: while it is put first into the blurred image.
    ``*_elsewhere`` are the means of the displaced maps, ``beaten`` the share of them that do worse.
    ``probability`` is that of the class in the whole image.
    """

    probability: float

    deletion: float
    insertion: float
    deletion_elsewhere: float
    insertion_elsewhere: float
    beaten: float
    flat: bool

    @property
    def gain(self) -> float:
        """Return by how much the map is better than elsewhere, as the mean of both curves."""
        here = self.insertion - self.deletion
        return (here - (self.insertion_elsewhere - self.deletion_elsewhere)) / 2

    @property
    def telling(self) -> bool:
        """Return whether there is enough to lose for the figures to say something."""
        return self.probability >= LEAST

    @property
    def found(self) -> bool:
        """Return whether the network goes by what is marked more than by other places."""
        better = self.gain > MARGIN and self.beaten >= ENOUGH
        return better and self.telling and not self.flat


def faithfulness(
    model: nn.Module,
    images: Tensor,
    targets: Tensor,
    maps: Tensor,
    *,
    steps: int = 12,
    displaced: int = 12,
    seed: int = 0,
) -> tuple[Faithfulness, ...]:
    """Return how faithful the map of each image is.

    Any blob that covers part of an image costs the class something, and scattered pixels cost more
    than a blob. So each map is compared with itself, shifted around the image by a quarter to three
    quarters of its sides: as smooth, as large, but elsewhere. Source of the curves: Petsiuk et al.,
    "RISE", 2018.

    Args:
        model: the network.
        images: ``(N, C, H, W)``, normalised such that 0 is the mean colour.
        targets: ``(N,)`` int64, the classes that the maps explain.
        maps: ``(N, H, W)``, larger where it matters more.
        steps: parts in which an image is taken away, and passes for one curve.
        displaced: how many shifts are tried.
        seed: draws the shifts, and the order of places that are equal on the map.
    """
    return tuple(
        faithfulness_of(model, image, int(target), each, steps, displaced, seed)
        for image, target, each in zip(images, targets, maps, strict=True)
    )


def faithfulness_of(
    model: nn.Module,
    image: Tensor,
    target: int,
    map_: Tensor,
    steps: int,
    displaced: int,
    seed: int,
) -> Faithfulness:
    """Return how faithful the map ``(H, W)`` of one image ``(C, H, W)`` is."""
    ranks = torch.stack([order(each, seed) for each in (map_, *shifted(map_, displaced, seed))])
    gone = class_curve(model, image, torch.zeros_like(image), target, ranks, steps)
    come = class_curve(model, blurred(image), image, target, ranks, steps)
    deletion, insertion = (torch.trapezoid(each, dim=1) / steps for each in (gone, come))
    score = insertion - deletion
    return Faithfulness(
        probability=float(gone[0, 0]),
        deletion=float(deletion[0]),
        insertion=float(insertion[0]),
        deletion_elsewhere=float(deletion[1:].mean()),
        insertion_elsewhere=float(insertion[1:].mean()),
        beaten=float((score[1:] < score[0]).float().mean()),
        flat=bool(map_.max() == map_.min()),
    )


def class_curve(
    model: nn.Module, image: Tensor, other: Tensor, target: int, ranks: Tensor, steps: int
) -> Tensor:
    """Return ``(M, steps + 1)`` probabilities of a class while one image turns into another.

    Args:
        model: the network.
        image: ``(C, H, W)``, where the curve begins.
        other: ``(C, H, W)``, where it ends.
        target: the class.
        ranks: ``(M, H, W)`` int64: in which order the places turn, one curve for each.
        steps: how many places turn at a time: all in so many parts.
    """
    cuts = torch.linspace(0, ranks[0].numel(), steps + 1, device=ranks.device)
    turned = (ranks[:, None] < cuts[:, None, None]).flatten(0, 1)[:, None]
    with unchanged(model), torch.no_grad():
        found = [
            model(torch.where(some, other, image)).float().softmax(1)[:, target]
            for some in turned.split(BATCH)
        ]
    return torch.cat(found).view(len(ranks), steps + 1)


def order(map_: Tensor, seed: int) -> Tensor:
    """Return each place's rank, 0 where the map is largest; equal places in a random order."""
    mixed = torch.randperm(map_.numel(), generator=generator(seed, "ties")).to(map_.device)
    places = mixed[map_.flatten()[mixed].argsort(descending=True, stable=True)]
    ranks = torch.empty_like(places)
    ranks[places] = torch.arange(len(places), device=places.device)
    return ranks.view_as(map_)


def shifted(map_: Tensor, count: int, seed: int) -> list[Tensor]:
    """Return the map moved around the image, both ways by a quarter to three quarters."""
    draw = generator(seed, "shifts")
    share = 0.25 + 0.5 * torch.rand(count, 2, generator=draw)
    sizes = torch.tensor(map_.shape)
    shifts = (share * sizes).round().long().tolist()
    return [map_.roll(shift, (0, 1)) for shift in shifts]


def blurred(image: Tensor) -> Tensor:
    """Return an image ``(C, H, W)`` without detail: a Gaussian of a sixteenth of the side."""
    side = min(image.shape[1:])
    sigma = max(1.0, side / 16)
    reach = min(round(2 * sigma), side - 1)
    place = torch.arange(-reach, reach + 1, device=image.device, dtype=image.dtype)
    weights = (-(place**2) / (2 * sigma**2)).exp()
    weights = (weights / weights.sum()).view(1, 1, 1, -1)
    padded = functional.pad(image[:, None], (reach, reach, reach, reach), mode="reflect")
    across = functional.conv2d(padded, weights)
    return functional.conv2d(across, weights.transpose(2, 3))[:, 0]
