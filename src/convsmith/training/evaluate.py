"""Measuring a network on a part of the data."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from convsmith.errors import DataError
from convsmith.training.losses import Loss
from convsmith.training.memory import out_of_memory, release
from convsmith.training.onednn import stuck, unstuck
from convsmith.training.precision import Precision

__all__ = ["Evaluation", "evaluate", "inference"]


@dataclass(frozen=True)
class Evaluation:
    """Means over images, each counting once whatever its batch.

    ``top5`` is 1 where there are five classes or fewer. ``per_class`` holds the top-1 accuracy of
    every class, NaN for one without an image. ``labels``, ``guesses``, ``confidences`` and
    ``ranks`` ``(N,)`` are each image's class, the likeliest one, its probability, and how many
    classes were likelier than the image's own, on the CPU; ``logits`` ``(N, K)`` float32 are there
    if they were asked for.
    """

    loss: float
    top1: float
    top5: float
    count: int
    per_class: tuple[float, ...]
    labels: Tensor = field(compare=False)
    guesses: Tensor = field(compare=False)
    confidences: Tensor = field(compare=False)
    ranks: Tensor = field(compare=False)
    logits: Tensor | None = field(compare=False, default=None)


def evaluate(
    model: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor]],
    loss: Loss,
    precision: Precision,
    *,
    logits: bool = False,
) -> Evaluation:
    """Evaluate ``model``; its modes, BatchNorm statistics, gradients and the RNG stay as they are.

    The device is read once, at the end. Where memory runs out, a batch is taken in parts.
    ``logits`` keeps those of all images, 4 bytes an image and class.

    Raises:
        DataError: there is no image.
    """
    try:
        return unstuck(evaluate_here, model, batches, loss, precision, logits)
    except RuntimeError:
        if not stuck():
            raise
    return unstuck(evaluate_here, model, batches, loss, precision, logits)  # in a new thread


def evaluate_here(
    model: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor]],
    loss: Loss,
    precision: Precision,
    keep: bool,
) -> Evaluation:
    """Evaluate in the thread that calls."""
    losses, ranks, labels_seen, classes = [], [], [], 0
    guesses, confidences, kept = [], [], []
    with inference(model):
        for images, labels in batches:
            with precision.forward():
                logits = in_parts(model, images)
            logits = logits.float()
            classes = logits.shape[1]
            losses.append(loss(logits, labels).double())
            ranks.append(rank(logits, labels))
            labels_seen.append(labels)
            confidence, guess = logits.softmax(1).max(1)
            guesses.append(guess)
            confidences.append(confidence)
            if keep:
                kept.append(logits)
        if not losses:
            raise DataError("there is no image to evaluate")
        every_rank, every_label = torch.cat(ranks), torch.cat(labels_seen)
        right = torch.bincount(every_label[every_rank == 0], minlength=classes)
        total = torch.bincount(every_label, minlength=classes)
        sums = [torch.cat(losses).sum(), (every_rank == 0).sum(), (every_rank < 5).sum()]
        loss_sum, top1, top5 = torch.stack([each.double() for each in sums]).tolist()
        per_class = tuple((right.double() / total).tolist())
        seen = [torch.cat(each).cpu() for each in (labels_seen, guesses, confidences, ranks)]
        seen += [torch.cat(kept).cpu()] if keep else []
    count = len(every_label)
    return Evaluation(loss_sum / count, top1 / count, top5 / count, count, per_class, *seen)


def in_parts(model: nn.Module, images: Tensor) -> Tensor:
    """Return the logits of a batch, made of those of its halves where memory runs out."""
    try:
        logits: Tensor = model(images)
        return logits
    except (RuntimeError, MemoryError) as error:
        if len(images) == 1 or not out_of_memory(error):
            raise
    release(images.device)
    return torch.cat([in_parts(model, half) for half in images.chunk(2)])


def rank(logits: Tensor, labels: Tensor) -> Tensor:
    """Return how many classes score above the label's, or equal it and come before it.

    A logit that is NaN puts its image last: no guess of a broken network counts as right.
    """
    own = logits.gather(1, labels[:, None])
    before = torch.arange(logits.shape[1], device=logits.device) < labels[:, None]
    ranks = ((logits > own) | ((logits == own) & before)).sum(1)
    return torch.where(torch.isnan(logits).any(1), logits.shape[1] + 5, ranks)


@contextmanager
def inference(model: nn.Module) -> Iterator[None]:
    """Put a network into evaluation mode without gradients, and every module back afterwards."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        for module, mode in modes:
            module.training = mode
