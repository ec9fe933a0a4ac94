"""What a trained network needs to be used: its name, sizes, classes and normalisation."""

from dataclasses import asdict, dataclass
from typing import Any, Self

__all__ = ["ModelCard"]


@dataclass(frozen=True)
class ModelCard:
    """The content of a run's ``model.json``.

    ``name`` and ``options`` rebuild the network; ``name`` is None for a user's own module.
    ``mean`` and ``std`` normalise pixels that were first scaled to 0..1.
    """

    name: str | None
    options: dict[str, Any]
    classes: tuple[str, ...]
    channels: int
    image_size: tuple[int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Return the card that :meth:`to_dict` gave."""
        tuples = ("classes", "image_size", "mean", "std")
        return cls(**(values | {key: tuple(values[key]) for key in tuples}))
