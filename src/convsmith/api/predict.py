"""Say what is in some images, with a run's network."""

import os
from collections.abc import Sequence

from convsmith.api.load import Prediction, load

__all__ = ["predict"]


def predict(
    run: str | os.PathLike[str],
    images: Sequence[str | os.PathLike[str]],
    *,
    top: int = 5,
    runs: str | os.PathLike[str] | None = None,
) -> list[Prediction]:
    """Return the ``top`` likeliest classes of each image file, in the order given.

    Raises:
        RunError: there is no such finished run.
        DataError: a file is missing or not an image.
    """
    model = load(run, runs=runs)
    return [model.predict(image, top) for image in images]
