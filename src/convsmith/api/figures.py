"""What a run keeps for people to look at: samples, the confusion matrix, the worst mistakes."""

import json

import torch
from PIL import Image

from convsmith.data.augment import Augment
from convsmith.data.images import Images
from convsmith.data.pictures import augmented, grid, samples, thumbnail
from convsmith.insight.confusion import confusion_matrix
from convsmith.insight.mistakes import most_confident_mistakes
from convsmith.recipe.build import Parts
from convsmith.runs.folder import RunFolder, to_json, write_atomically
from convsmith.training.evaluate import Evaluation

__all__ = ["write_outcome", "write_samples"]

SAMPLES = 8
MISTAKES = 24
SIDE = 96  # pixels of a mistake's picture


def write_samples(run: RunFolder, parts: Parts, augment: Augment, seed: int) -> None:
    """Write ``figures/samples.png`` and ``figures/augmented.png``; points have no picture."""
    if parts.train.image_size == (1, 1) or parts.train.channels not in (1, 3):
        return
    run.figures.mkdir(exist_ok=True)
    indices = samples(parts.train, len(parts.classes), SAMPLES, seed)
    pixels, labels = parts.train.take(indices)
    titles = [parts.classes[label] for label in labels.tolist()]
    grid([("", pixels)], titles).save(run.figures / "samples.png")
    rows = [("", augmented(pixels, augment, seed + n)) for n in (1, 2)]
    grid(rows).save(run.figures / "augmented.png")


def write_outcome(run: RunFolder, parts: Parts, test: Evaluation) -> None:
    """Write ``confusion.json`` and ``mistakes.json`` with their pictures, of the test part."""
    classes = parts.classes
    matrix = confusion_matrix(test.labels, test.guesses, len(classes))
    confusion = {"part": "test", "classes": classes, "matrix": matrix.tolist()}
    write_atomically(run.confusion, json.dumps(confusion) + "\n")
    for old in run.figures.glob("mistake-*.png"):
        old.unlink()
    worst = most_confident_mistakes(test.labels, test.guesses, test.confidences, MISTAKES)
    found = [
        {
            "image": picture(run, parts.test, index, number),
            "label": classes[int(test.labels[index])],
            "guess": classes[int(test.guesses[index])],
            "probability": round(float(test.confidences[index]), 6),
            "index": index,
            "name": parts.test.file(index),
        }
        for number, index in enumerate(worst.tolist())
    ]
    write_atomically(run.mistakes, to_json({"part": "test", "mistakes": found}))


def picture(run: RunFolder, images: Images, index: int, number: int) -> str | None:
    """Write the picture of a mistake and return its path in the run; None if it has none."""
    if images.image_size == (1, 1) or images.channels not in (1, 3):
        return None
    run.figures.mkdir(exist_ok=True)
    pixels, _ = images.take(torch.tensor([index]))
    path = run.figures / f"mistake-{number:02d}.png"
    small: Image.Image = thumbnail(pixels[0], SIDE)
    small.save(path)
    return path.relative_to(run.path).as_posix()
