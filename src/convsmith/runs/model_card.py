"""What a trained network needs to be used: its name, sizes, classes and normalisation."""

from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["ModelCard"]


@dataclass(frozen=True)
class ModelCard:
    """The content of a run's ``model.json``.

    ``name`` and ``options`` rebuild the network; ``name`` is None for a user's own module.
    ``mean`` and ``std`` normalise values that were first divided by ``scale``: 255 for images, 1
    for points. ``resize`` is how image files are made to fit ``image_size``. ``temperature`` is
    what logits are divided by before they become probabilities.
    """

    name: str | None
    options: dict[str, Any]
    classes: tuple[str, ...]
    channels: int
    image_size: tuple[int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    scale: float
    resize: Literal["stretch", "crop", "pad"] = "stretch"
    temperature: float = 1.0
