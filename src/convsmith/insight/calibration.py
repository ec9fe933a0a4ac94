"""Whether a network is as often right as it says, and the temperature that makes it so."""

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Bin", "Calibration", "calibration", "expected_error", "fit_temperature"]

BINS = 15
COLDEST, HOTTEST = 0.05, 20.0
STEPS = 60  # bisection alone would need about 40
TINY, CLOSE = 1e-300, 1e-12
DRAWS = 200


@dataclass(frozen=True)
class Bin:
    """The images whose confidence lies in ``(low, high]``.

    ``confidence`` and ``accuracy`` are their means; ``least`` and ``most`` is where 95 % of the
    accuracies would lie if the confidences were true.
    """

    low: float
    high: float
    images: int
    confidence: float
    accuracy: float
    least: float
    most: float


@dataclass(frozen=True)
class Calibration:
    """How true probabilities are. ``bins`` are those with an image.

    ``ece`` is the expected calibration error over 15 bins, and ``ece_if_true`` what it would come
    to on average if every confidence were true: so few images never give 0. ``log_loss`` is in
    nats; ``brier`` is the squared error of all K probabilities, summed, from 0 to 2.
    """

    ece: float
    ece_if_true: float
    log_loss: float
    brier: float
    confidence: float
    accuracy: float
    bins: tuple[Bin, ...]


def calibration(logits: Tensor, labels: Tensor, temperature: float, seed: int) -> Calibration:
    """Return how true the probabilities ``softmax(logits / temperature)`` are.

    Guo et al. 2017, "On calibration of modern neural networks"; what true confidences would give
    is drawn as in Bröcker & Smith 2007, "Increasing the reliability of reliability diagrams".

    Args:
        logits: ``(N, K)``, finite; at least one image.
        labels: ``(N,)`` int64.
        temperature: what the logits are divided by.
        seed: decides the draws.
    """
    logs = (logits.double() / temperature).log_softmax(1)
    probabilities = logs.exp()
    own = probabilities.gather(1, labels[:, None])[:, 0]
    confidences = probabilities.amax(1)
    right = (logits.argmax(1) == labels).double()
    places = bin_places(confidences)
    sums = binned(places, torch.stack([torch.ones_like(right), confidences, right], 1))
    draw = torch.Generator().manual_seed(seed)
    drawn = drawn_hits(places, confidences, draw)
    return Calibration(
        ece=float((sums[:, 2] - sums[:, 1]).abs().sum() / len(labels)),
        ece_if_true=float((drawn - sums[:, 1]).abs().sum(1).mean() / len(labels)),
        log_loss=float(-logs.gather(1, labels[:, None]).mean()),
        brier=float(probabilities.square().sum(1).mean() + (1 - 2 * own).mean()),
        confidence=float(confidences.mean()),
        accuracy=float(right.mean()),
        bins=to_bins(sums, drawn),
    )


def expected_error(confidences: Tensor, right: Tensor) -> float:
    """Return the expected calibration error of ``(N,)`` confidences, whose guesses were right."""
    sums = binned(bin_places(confidences), torch.stack([confidences, right.to(confidences)], 1))
    return float((sums[:, 1] - sums[:, 0]).abs().sum() / len(right))


def bin_places(confidences: Tensor) -> Tensor:
    """Return which of the bins of equal width each confidence is in; a bin holds its upper end."""
    edges = torch.linspace(0, 1, BINS + 1, dtype=confidences.dtype)
    return (torch.bucketize(confidences, edges) - 1).clamp(0, BINS - 1)


def binned(places: Tensor, values: Tensor) -> Tensor:
    """Return the sums ``(BINS, V)`` of ``(N, V)`` values by bin."""
    return values.new_zeros(BINS, values.shape[1]).index_add(0, places, values)


def drawn_hits(places: Tensor, confidences: Tensor, draw: torch.Generator) -> Tensor:
    """Return ``(DRAWS, BINS)`` numbers of right guesses, each right as often as it says."""
    rows = []
    for _ in range(DRAWS):
        chance = torch.rand(len(confidences), generator=draw, dtype=confidences.dtype)
        rows.append(binned(places, (chance < confidences).to(confidences)[:, None])[:, 0])
    return torch.stack(rows)


def to_bins(sums: Tensor, drawn: Tensor) -> tuple[Bin, ...]:
    """Return the bins that have an image."""
    ends = torch.tensor([0.025, 0.975], dtype=drawn.dtype)
    least, most = drawn.quantile(ends, dim=0)
    rows = torch.stack([least, most], 1).tolist()
    return tuple(
        Bin(
            low=place / BINS,
            high=(place + 1) / BINS,
            images=round(images),
            confidence=confidence / images,
            accuracy=right / images,
            least=low / images,
            most=high / images,
        )
        for place, ((images, confidence, right), (low, high)) in enumerate(
            zip(sums.tolist(), rows, strict=True)
        )
        if images
    )


def fit_temperature(logits: Tensor, labels: Tensor) -> float | None:
    """Return the temperature with the least log loss on a validation part; the order stays.

    The loss is convex in ``1 / temperature`` and its slope is the mean difference of the expected
    and the own logit; its root is found by Newton's steps, kept between ends that enclose it.

    Args:
        logits: ``(N, K)``, finite; at least one image.
        labels: ``(N,)`` int64.

    Returns:
        None if the best lies outside of 0.05 to 20: as where every image is right, the loss of
        which only falls.
    """
    values = logits.double().T.contiguous()  # sums over classes are then sums of long rows
    values -= values.amax(0)
    own = values.gather(0, labels[None])[0]

    def slopes(inverse: float) -> tuple[float, float]:
        shares = (values * inverse).exp_()
        shares /= shares.sum(0)
        shares *= values
        mean = shares.sum(0)
        spread = (shares * values).sum(0) - mean.square()
        return float((mean - own).mean()), float(spread.mean())

    low, high = 1 / HOTTEST, 1 / COLDEST
    if slopes(low)[0] >= 0 or slopes(high)[0] <= 0:
        return None
    inverse = 1.0
    for _ in range(STEPS):
        slope, curvature = slopes(inverse)
        low, high = (inverse, high) if slope < 0 else (low, inverse)
        newton = inverse - slope / max(curvature, TINY)
        if abs(newton - inverse) <= CLOSE * inverse:
            break
        inverse = newton if low < newton < high else (low + high) / 2
    return 1 / inverse
