"""Pictures of what a run trains on, for people to look at."""

from convsmith.api.examples import depictable
from convsmith.data.augment import Augment
from convsmith.data.pictures import augmented, grid, samples
from convsmith.recipe.build import Parts
from convsmith.runs.folder import RunFolder

__all__ = ["write_samples"]

SAMPLES = 8


def write_samples(run: RunFolder, parts: Parts, augment: Augment, seed: int) -> None:
    """Write ``figures/samples.png`` and ``figures/augmented.png``; points have no picture."""
    if not depictable(parts.train):
        return
    run.figures.mkdir(exist_ok=True)
    indices = samples(parts.train, len(parts.classes), SAMPLES, seed)
    pixels, labels = parts.train.take(indices)
    titles = [parts.classes[label] for label in labels.tolist()]
    grid([("", pixels)], titles).save(run.figures / "samples.png")
    rows = [("", augmented(pixels, augment, seed + n)) for n in (1, 2)]
    grid(rows).save(run.figures / "augmented.png")
