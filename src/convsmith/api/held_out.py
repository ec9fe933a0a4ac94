"""What networks say of training images that they have not seen: one network a fold."""

import tempfile
from dataclasses import replace

import torch
from torch import Tensor

from convsmith.api.load import load
from convsmith.api.measuring import Measuring
from convsmith.api.train import train
from convsmith.data.images import Say, Source
from convsmith.errors import Interrupted, UserError
from convsmith.randomness import generator

__all__ = ["held_out_probabilities"]

BATCH = 256


def held_out_probabilities(network: Measuring, folds: int, say: Say) -> Tensor:
    """Train the recipe anew without each fold in turn; return ``(N, K)`` of the training part.

    Args:
        network: of the run.
        folds: how many networks are trained, each on the images of all other folds.
        say: told how far it is.

    Raises:
        UserError: the run's network is the user's own, which no recipe makes again; there are more
            folds than images.
    """
    if network.card.name is None:
        raise UserError("--folds trains the recipe anew, and your own network is in no recipe")
    images, source = network.parts.train, network.source
    if folds > len(images):
        raise UserError(
            f"--folds must be at most {len(images):,}, the training images: got {folds:,}"
        )
    fold = fold_of(images.labels, folds, network.recipe.seed)
    found = torch.empty(len(images), len(network.parts.classes))
    with tempfile.TemporaryDirectory() as place:
        for number in range(folds):
            say(f"training network {number + 1} of {folds} for the labels that it does not see")
            held_out = images.select((fold == number).nonzero().flatten())
            kept = images.select((fold != number).nonzero().flatten())
            data = replace(source, train=kept, validation=None, test=held_out, groups=None)
            found[fold == number] = judged(network, data, place)
    return found


def judged(network: Measuring, data: Source, place: str) -> Tensor:
    """Train the recipe on ``data`` and return the probabilities of its test part."""
    try:
        recipe = network.recipe.model_dump(mode="json")  # for a device that is here
        run = train(recipe, data=data, runs=place, progress="none")
    except Interrupted as stop:  # in a folder that goes away, so there is nothing to go on with
        raise KeyboardInterrupt from stop
    model = load(run.path)
    assert data.test is not None
    starts = range(0, len(data.test), BATCH)
    batches = (data.test.take(slice(start, start + BATCH))[0] for start in starts)
    return torch.cat([model.probabilities(pixels) for pixels in batches])


def fold_of(labels: Tensor, folds: int, seed: int) -> Tensor:
    """Return the fold of each image, drawn by seed, each class spread over all of them."""
    order = torch.randperm(len(labels), generator=generator(seed, "folds"))
    fold = torch.empty_like(labels)
    dealt = order[labels[order].argsort(stable=True)]  # class by class, each shuffled
    fold[dealt] = torch.arange(len(labels)) % folds
    return fold
