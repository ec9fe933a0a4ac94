"""What the training's own evaluation says of test images: what an export is held against."""

from pathlib import Path

import numpy
import torch
from torch import Tensor, nn

from convsmith.data.decode import Resize
from convsmith.data.images import Images
from convsmith.data.normalise import Normalise
from convsmith.data.pictures import samples
from convsmith.errors import VerificationError
from convsmith.exporting.golden import Samples, make_samples
from convsmith.exporting.verify import Expected
from convsmith.recipe.build import Parts
from convsmith.training.evaluate import inference

__all__ = ["expectations"]

MOST_BYTES = 2**29  # of test images
CANDIDATES = 64  # among which golden samples are chosen
BATCH = 256


def expectations(
    module: nn.Module, parts: Parts, resize: Resize, root: Path | None
) -> tuple[Expected, Samples]:
    """Return what is expected of an export of a network, on the test part.

    All test images are used, or as many, evenly spread, as fit into 512 MiB. In 32 bits, as the
    exported networks compute, whatever the run's precision.

    Args:
        module: the trained network.
        parts: the run's data, with the normalisation that training used.
        resize: how image files are made to fit.
        root: the folder that the names of image files start from, if the images come from files.

    Raises:
        VerificationError: the network gives NaN or infinity.
    """

    def judge(pixels: Tensor) -> Tensor:
        return logits_of(module, parts.normalise, pixels)

    test = spread(parts.test)
    pixels, labels = test.take(slice(None))
    logits = torch.cat([judge(batch) for batch in pixels.split(BATCH)])
    broken = int((~torch.isfinite(logits)).any(1).sum())
    if broken:
        raise VerificationError(
            f"the network gives NaN or infinity for {broken:,} of {len(logits):,} test images: "
            "there is nothing to compare an export with"
        )
    rows = samples(test, len(parts.classes), min(CANDIDATES, len(test)))
    originals = [original(test, int(row), root) for row in rows]
    chosen = make_samples(pixels[rows], labels[rows].tolist(), originals, judge, resize)
    return (
        Expected(
            parts.classes,
            chosen.golden,
            numpy.ascontiguousarray(pixels.numpy()),
            labels.numpy(),
            logits.numpy(),
        ),
        chosen,
    )


def logits_of(module: nn.Module, normalise: Normalise, pixels: Tensor) -> Tensor:
    """Return the logits of uint8 images as evaluation has them."""
    with inference(module):
        logits: Tensor = module(normalise(pixels)).float()
    return logits.clone()  # an ordinary tensor


def spread(images: Images) -> Images:
    """Return all images, or as many, evenly spread, as may be held at once."""
    most = max(1, MOST_BYTES // images.pixels[0].nbytes)
    if len(images) <= most:
        return images
    return images.select(torch.linspace(0, len(images) - 1, most).long())


def original(images: Images, row: int, root: Path | None) -> bytes | None:
    """Return the file that an image comes from, if it does and is still there."""
    name = images.file(row)
    if root is None or name is None:
        return None
    try:
        return (root / name).read_bytes()
    except OSError:
        return None
