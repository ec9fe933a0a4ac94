"""Pictures of a run's mistakes: the surest, those of each class, those of the commonest mix-ups."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from convsmith.data.images import Images
from convsmith.data.pictures import thumbnail
from convsmith.insight.confusion import commonest_pairs
from convsmith.insight.mistakes import most_confident_mistakes
from convsmith.recipe.build import Parts
from convsmith.runs.folder import RunFolder, to_json, write_atomically
from convsmith.training.evaluate import Evaluation

__all__ = ["depictable", "example_side", "picture", "write_examples", "write_mistakes"]

MISTAKES = 24
PAIRS = 10
SIDE = 96  # pixels of a mistake's picture
SMALL_SIDE = 64  # pixels of an example's at most
EXAMPLES = 6  # of a class or pair at most
ROOM = 2 * 2**20  # bytes that the examples of all classes may take in the page, roughly
PACKED = 0.8  # bytes of a PNG a byte of its pixels, at worst


def write_mistakes(run: RunFolder, parts: Parts, test: Evaluation, confidences: Tensor) -> None:
    """Write ``mistakes.json``: the surest wrong guesses of the test part, with pictures."""
    for old in run.figures.glob("mistake-*.png"):
        old.unlink()
    worst = most_confident_mistakes(test.labels, test.guesses, confidences, MISTAKES).tolist()
    found = [
        example(parts, test, confidences, index)
        | {"image": picture(run, parts.test, index, f"mistake-{number:02d}", SIDE)}
        for number, index in enumerate(worst)
    ]
    write_atomically(run.mistakes, to_json({"part": "test", "mistakes": found}))


def write_examples(
    run: RunFolder, parts: Parts, test: Evaluation, confidences: Tensor, matrix: Tensor
) -> None:
    """Write ``examples.json``: mistakes by pair of classes and by class, the surest first.

    Of each class there are its images that were taken for others (``missed``) and images of others
    that were taken for it (``taken``): as many as leave the page small.
    """
    for old in run.figures.glob("example-*.png"):
        old.unlink()
    order = most_confident_mistakes(test.labels, test.guesses, confidences, test.count).tolist()
    labels, guesses = test.labels.tolist(), test.guesses.tolist()
    each, names = per_class(parts), parts.classes
    pairs = commonest_pairs(matrix, PAIRS)
    of_pair = first(order, ((labels[i], guesses[i]) for i in order), EXAMPLES)
    missed = first(order, (labels[i] for i in order), each)
    taken = first(order, (guesses[i] for i in order), each)
    side = example_side(parts.test)

    def shown(indices: Iterable[int]) -> list[dict[str, Any]]:
        return [
            example(parts, test, confidences, index)
            | {"image": picture(run, parts.test, index, f"example-{index}", side)}
            for index in indices
        ]

    content = {
        "part": "test",
        "pairs": [
            {"label": names[label], "guess": names[guess], "examples": shown(of_pair[label, guess])}
            for label, guess in pairs
        ],
        "classes": [
            {"name": name, "missed": shown(missed[at]), "taken": shown(taken[at])}
            for at, name in enumerate(names)
        ],
    }
    write_atomically(run.examples, to_json(content))


def first(order: Iterable[int], keys: Iterable[Any], most: int) -> defaultdict[Any, list[int]]:
    """Return the first ``most`` indices of each key."""
    found: defaultdict[Any, list[int]] = defaultdict(list)
    for index, key in zip(order, keys, strict=True):
        if len(found[key]) < most:
            found[key].append(index)
    return found


def per_class(parts: Parts) -> int:
    """Return how many examples a class has on each side, so that all of them take little room."""
    size = example_side(parts.test) ** 2 * parts.test.channels * PACKED
    return min(EXAMPLES, int(ROOM / (2 * len(parts.classes) * size)))


def example_side(images: Images) -> int:
    """Return the longer side of an example's picture: small images are enlarged by the page."""
    return min(max(images.image_size), SMALL_SIDE)


def example(parts: Parts, test: Evaluation, confidences: Tensor, index: int) -> dict[str, Any]:
    """Return what is said of one mistake."""
    return {
        "label": parts.classes[int(test.labels[index])],
        "guess": parts.classes[int(test.guesses[index])],
        "probability": round(float(confidences[index]), 6),
        "index": index,
        "name": parts.test.file(index),
    }


def picture(run: RunFolder, images: Images, index: int, name: str, side: int) -> str | None:
    """Write the picture of an image and return its path in the run; None if it has none."""
    if not depictable(images):
        return None
    run.figures.mkdir(exist_ok=True)
    path = run.figures / f"{name}.png"
    if not path.exists():
        pixels, _ = images.take(torch.tensor([index]))
        thumbnail(pixels[0], side).save(path)
    return path.relative_to(run.path).as_posix()


def depictable(images: Images) -> bool:
    """Return whether these are images that can be shown, and no points."""
    return images.image_size != (1, 1) and images.channels in (1, 3)
