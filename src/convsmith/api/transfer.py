"""Beginning with trained weights: where they come from, and the preprocessing that they expect."""

import os
from pathlib import Path

from torch import Tensor, nn

from convsmith.api.load import read_card, read_weights
from convsmith.api.run import Run, open_run
from convsmith.data import FILES
from convsmith.errors import RunError, UserError
from convsmith.models.pretrained import LIBRARIES, Preprocessing, hub_weights, preprocessing
from convsmith.models.weights import load_backbone, read_weights_file
from convsmith.recipe.schema import Recipe

__all__ = ["load_transfer", "with_preprocessing"]

PathLike = str | os.PathLike[str]


def with_preprocessing(recipe: Recipe, runs: PathLike | None) -> tuple[Recipe, tuple[str, ...]]:
    """Return the recipe with what the weights expect where it says nothing, and notes of that.

    Mean and deviation come with published weights and with a run's; the size of the images only
    matters where image files can be resized to it.
    """
    expected = expectation(recipe, runs)
    values = recipe.model_dump()
    values["transfer"]["weights"] = lasting(recipe.transfer.weights, runs)
    if expected is None:
        return Recipe.model_validate(values), ()
    data, notes = recipe.data, []
    filled: dict[str, object] = {}
    if data.mean is None or data.std is None:
        filled |= {"mean": expected.mean, "std": expected.std}
        numbers = ", ".join(f"{value:.3g}" for value in expected.mean)
        notes.append(f"normalised as {recipe.transfer.weights} expects it: mean {numbers}")
    if data.source.partition(":")[0] in FILES:
        if data.channels is None:
            filled["channels"] = len(expected.mean)
        if data.image_size is None:
            filled["image_size"] = expected.image_size
            height, width = expected.image_size
            notes.append(f"images are resized to {height}x{width}, which the weights were made for")
    values["data"] |= filled
    return Recipe.model_validate(values), tuple(notes)


def lasting(weights: str | None, runs: PathLike | None) -> str | None:
    """Return the name of weights as it is understood from any working folder."""
    if weights is None or weights == "hub":
        return weights
    run = as_run(weights, runs)
    path = Path(weights).expanduser() if run is None else run.path
    return str(path.absolute())


def expectation(recipe: Recipe, runs: PathLike | None) -> Preprocessing | None:
    """Return the preprocessing of the recipe's weights; None if they have none that is known."""
    weights = recipe.transfer.weights
    if weights is None:
        return None
    run = as_run(weights, runs)
    if run is not None:
        card = read_card(run.folder)
        return Preprocessing(card.image_size, card.mean, card.std)
    if recipe.model.name in LIBRARIES:
        return preprocessing(recipe.model.name, recipe.model.options["architecture"])
    return None


def load_transfer(recipe: Recipe, model: nn.Module, runs: PathLike | None) -> tuple[str, ...]:
    """Put the recipe's weights into a new network, all but its last layer; return notes of it.

    Raises:
        UserError: they are missing, cannot be had, or are another network's.
    """
    weights = recipe.transfer.weights
    if weights is None:
        return ()
    unused = load_backbone(model, tensors_of(recipe, weights, runs), weights)
    if not unused:
        return ()
    count = f"{len(unused)} tensors that the network has not, such as `{unused[0]}`"
    return (f"{weights} also holds {count}: are these the weights of another network?",)


def tensors_of(recipe: Recipe, weights: str, runs: PathLike | None) -> dict[str, Tensor]:
    """Return the tensors that ``transfer.weights`` names."""
    if weights == "hub":
        return hub_weights(recipe.model.name, recipe.model.options["architecture"])
    run = as_run(weights, runs)
    return (
        read_weights_file(Path(weights).expanduser()) if run is None else read_weights(run.folder)
    )


def as_run(weights: str, runs: PathLike | None) -> Run | None:
    """Return the run that ``transfer.weights`` names; None if it names the hub or a file.

    Raises:
        UserError: it names neither.
    """
    path = Path(weights).expanduser()
    if weights == "hub" or path.is_file():
        return None
    try:
        return open_run(weights, runs)
    except RunError as error:
        raise UserError(
            f"transfer.weights: {weights!r} is no file, no run and not `hub` ({error})"
        ) from error
