"""Load a run's trained network for use in Python."""

import os
from dataclasses import dataclass

import torch
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from convsmith.api.run import open_run
from convsmith.data.decode import decode
from convsmith.data.normalise import Normalise
from convsmith.errors import CheckpointError, DataError, UserError
from convsmith.models import MODELS
from convsmith.runs.folder import RunFolder
from convsmith.runs.model_card import ModelCard
from convsmith.training.snapshot import load_weights

__all__ = ["Guess", "Model", "Prediction", "load", "put_weights", "read_card", "read_weights"]


@dataclass(frozen=True)
class Guess:
    """One class and the probability that the network gives it."""

    label: str
    probability: float


@dataclass(frozen=True)
class Prediction:
    """What a network says of one image: its best guesses, likeliest first."""

    image: str
    guesses: tuple[Guess, ...]

    @property
    def label(self) -> str:
        """Return the likeliest class."""
        return self.guesses[0].label


class Model:
    """A trained network with what it needs to look at an image. Final."""

    def __init__(self, module: nn.Module, card: ModelCard) -> None:
        self.module = module.eval()
        self.card = card
        self._normalise = Normalise(card.mean, card.std, card.scale)

    @property
    def classes(self) -> tuple[str, ...]:
        """Return the names of the classes, in the order of the logits."""
        return self.card.classes

    def probabilities(self, pixels: Tensor) -> Tensor:
        """Return ``(N, classes)`` probabilities for ``(N, C, H, W)`` uint8 images of its size.

        Logits are divided by the temperature that was fitted when the training ended.
        """
        expected = (self.card.channels, *self.card.image_size)
        if pixels.ndim != 4 or tuple(pixels.shape[1:]) != expected:
            raise DataError(
                f"this network takes images of shape (N, {', '.join(map(str, expected))}), "
                f"not {tuple(pixels.shape)}"
            )
        device = next(self.module.parameters()).device
        with torch.inference_mode():
            logits: Tensor = self.module(self._normalise(pixels.to(device)))
        return (logits.float() / self.card.temperature).softmax(1).cpu()

    def predict(self, image: str | os.PathLike[str] | Image.Image, top: int = 5) -> Prediction:
        """Return the ``top`` likeliest classes of an image file or a Pillow image.

        The image is turned upright, converted to the network's channels and resized to its size,
        as the training images were.

        Raises:
            DataError: the file is missing or not an image.
            UserError: it is no file's name, or ``top`` is below 1.
        """
        if not isinstance(image, str | os.PathLike | Image.Image):
            kind = type(image).__name__
            raise UserError(f"predict takes an image file or a Pillow image, not a {kind}")
        if top < 1:
            raise UserError(f"top must be at least 1, got {top}")
        name = "image" if isinstance(image, Image.Image) else os.fspath(image)
        return self.prediction(name, self.probabilities(self.read(image)[None])[0], top)

    def read(self, image: str | os.PathLike[str] | Image.Image) -> Tensor:
        """Return an image file or Pillow image as the ``(C, H, W)`` uint8 the network takes."""
        return decode(image, self.card.channels, self.card.image_size, self.card.resize)

    def prediction(self, name: str, probabilities: Tensor, top: int = 5) -> Prediction:
        """Return the ``top`` likeliest classes, given the ``(classes,)`` probabilities."""
        probability, index = probabilities.topk(min(top, len(self.classes)))
        pairs = zip(index.tolist(), probability.tolist(), strict=True)
        return Prediction(name, tuple(Guess(self.classes[i], p) for i, p in pairs))


def load(
    run: str | os.PathLike[str],
    *,
    runs: str | os.PathLike[str] | None = None,
    module: nn.Module | None = None,
) -> Model:
    """Load the final weights of a finished run.

    Args:
        run: its folder, or its name in the runs folder.
        runs: the folder of runs.
        module: the network itself, needed for a run that trained a module of your own.

    Raises:
        RunError: there is no such run, or it has not finished.
        DamagedError: its weights or its description are damaged.
    """
    folder = open_run(run, runs).folder
    card = read_card(folder)
    if module is None:
        if card.name is None:
            raise UserError(f"{folder.path} trained a network of your own: pass it as `module=`")
        if card.name not in MODELS:
            raise folder.damaged(folder.model, f"says {card.name!r}, and no network is called so")
        try:
            with torch.random.fork_rng(devices=[]):  # initial weights, which are not kept
                module = MODELS[card.name](
                    len(card.classes), card.channels, card.image_size, **card.options
                )
        except (TypeError, ValueError) as error:
            raise folder.damaged(folder.model, f"has wrong options: {error}") from error
    put_weights(folder, module)
    return Model(module, card)


def put_weights(folder: RunFolder, module: nn.Module) -> None:
    """Load a finished run's weights into a network.

    Raises:
        RunError: the run has not finished.
        DamagedError: the file is damaged, or of another network.
    """
    try:
        load_weights(module.state_dict(), read_weights(folder))
    except CheckpointError as error:
        raise CheckpointError(f"{folder.weights}: {error}") from error


def read_card(folder: RunFolder) -> ModelCard:
    """Return what a finished run's network needs to be used.

    Raises:
        RunError: the run has not finished.
        DamagedError: the file is damaged.
    """
    folder.require_whole(folder.model)
    return folder.read_as(folder.model, ModelCard)


def read_weights(folder: RunFolder) -> dict[str, Tensor]:
    """Return a finished run's weights, on the CPU.

    Raises:
        RunError: the run has not finished.
        DamagedError: the file is damaged.
    """
    folder.require_whole(folder.weights)
    try:
        return load_file(folder.weights)
    except (OSError, SafetensorError) as error:
        raise folder.damaged(folder.weights, f"cannot be read: {error}") from error
