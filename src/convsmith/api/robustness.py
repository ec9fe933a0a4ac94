"""How a network does on a part of the data made worse in four ways, at five strengths each."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from statistics import fmean

import torch
from torch import Tensor

from convsmith.api.examples import depictable
from convsmith.api.measuring import Measuring
from convsmith.data.images import Images, Say
from convsmith.data.pictures import grid, samples
from convsmith.errors import UserError
from convsmith.insight.calibration import expected_error
from convsmith.insight.corruptions import CORRUPTIONS, Corruption
from convsmith.randomness import generator
from convsmith.recipe.build import LAYOUTS
from convsmith.runs.folder import to_json, write_atomically
from convsmith.training.evaluate import Evaluation

__all__ = ["Robustness", "Worsened", "measure_robustness", "require_images"]

BATCH = 256  # with the seed it decides which noise an image gets
SHEET = "corruptions.png"


@dataclass(frozen=True)
class Worsened:
    """One kind of corruption: its five settings, and top-1 and calibration error at each."""

    name: str
    setting: str
    settings: tuple[float, ...]
    top1: tuple[float, ...]
    ece: tuple[float, ...]


@dataclass(frozen=True)
class Robustness:
    """A run's ``robustness.json``; ``mean_top1`` is over all kinds and strengths."""

    part: str
    images: int
    top1: float
    ece: float
    mean_top1: float
    corruptions: tuple[Worsened, ...]


def require_images(images: Images) -> None:
    """Raise UserError for points, and for images of more channels than JPEG has."""
    if not depictable(images):
        raise UserError("--robustness takes images of one or three channels, and no points")


def measure_robustness(network: Measuring, part: str, clean: Evaluation, say: Say) -> Robustness:
    """Measure every kind and strength; write ``robustness.json`` and a picture of what is done.

    Args:
        network: of the run.
        part: the part of the data that is made worse.
        clean: its evaluation as it is, with logits.
        say: told how far it is.
    """
    images = network.parts.named(part)
    assert images is not None
    worsened = []
    for number, (name, corruption) in enumerate(CORRUPTIONS.items()):
        settings = corruption.settings(images.image_size)
        figures = []
        for strength, setting in enumerate(settings, 1):
            say(f"{name} {strength} of 5, {number + 1} of {len(CORRUPTIONS)} corruptions")
            batches = corrupted(network, images, corruption, setting)
            measured = network.measure(batches, logits=True)
            figures.append((measured.top1, error(network, measured)))
        top1, ece = zip(*figures, strict=True)
        worsened.append(Worsened(name, corruption.setting, settings, top1, ece))
    mean = fmean(share for each in worsened for share in each.top1)
    found = Robustness(part, clean.count, clean.top1, error(network, clean), mean, tuple(worsened))
    write_atomically(network.folder.robustness, to_json(asdict(found)))
    write_sheet(network, images)
    return found


def corrupted(
    network: Measuring, images: Images, corruption: Corruption, setting: float
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield all images in their order, corrupted, then normalised on the device, with labels."""
    layout = LAYOUTS[network.recipe.train.memory_format]
    for start in range(0, len(images), BATCH):
        pixels, labels = images.take(slice(start, start + BATCH))
        draw = generator(network.recipe.seed, "corruption", start)
        changed = corruption.change(pixels, setting, draw).to(network.device)
        yield network.parts.normalise(changed, layout), labels.to(network.device)


def error(network: Measuring, measured: Evaluation) -> float:
    """Return the expected calibration error, after the temperature."""
    confidences = network.probabilities(measured).amax(1)
    return expected_error(confidences, measured.guesses == measured.labels)


def write_sheet(network: Measuring, images: Images) -> None:
    """Write ``figures/corruptions.png``: one image, and what becomes of it."""
    network.folder.figures.mkdir(exist_ok=True)
    index = samples(images, len(network.parts.classes), 1, network.recipe.seed)
    pixels, _ = images.take(index)
    rows = []
    for name, corruption in CORRUPTIONS.items():
        draw = generator(network.recipe.seed, "corruption sheet")
        settings = corruption.settings(images.image_size)
        changed = [corruption.change(pixels, setting, draw) for setting in settings]
        rows.append((name, torch.cat([pixels, *changed])))
    grid(rows, ["as it is", *map(str, range(1, 6))]).save(network.folder.figures / SHEET)
