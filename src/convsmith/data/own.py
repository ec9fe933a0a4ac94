"""A user's own tensors or data sets as a source."""

import operator
from collections.abc import Sequence
from typing import Any

import numpy
import torch
from PIL import Image
from torch import Tensor

from convsmith.data.decode import to_tensor, upright
from convsmith.data.images import Images, Source
from convsmith.errors import DataError

__all__ = ["own_source"]

MOST = 100_000  # classes that are not named


def own_source(
    train: Any,
    test: Any,
    *,
    classes: Sequence[str] | None = None,
    name: str = "own",
    mirrored: bool = False,
) -> Source:
    """Return a source made of your own images, held in memory.

    Args:
        train: a pair ``(images, labels)`` of tensors, ``(N, C, H, W)`` or ``(N, H, W)`` uint8 and
            ``(N,)`` integers (points are ``(N, C, 1, 1)`` floats); or a map-style data set of
            ``(image, label)``, each image a Pillow image, a ``(C, H, W)`` tensor (uint8, or float
            from 0 to 1) or an ``(H, W, C)`` array of bytes, all of one size.
        test: the same, for the test part.
        classes: their names; by default the numbers from 0 to the largest label.
        name: what the data set is called in results.
        mirrored: whether an image keeps its label when it is flipped left to right.

    Raises:
        DataError: images or labels are of a wrong shape, type or number.
    """
    parts = [read(train, "train"), read(test, "test")]
    if parts[0].pixels.shape[1:] != parts[1].pixels.shape[1:]:
        shapes = [tuple(part.pixels.shape[1:]) for part in parts]
        raise DataError(f"training images are {shapes[0]}, test images {shapes[1]}")
    largest = max(int(part.labels.max()) for part in parts)
    if classes is None and largest >= MOST:
        raise DataError(f"label {largest}: labels are numbers of classes, counted from 0")
    names = tuple(classes) if classes is not None else tuple(map(str, range(largest + 1)))
    if isinstance(classes, str) or not all(isinstance(each, str) for each in names):
        raise DataError("classes must be a list of names")
    if len(set(names)) < len(names):
        raise DataError("two classes have the same name")
    if largest >= len(names):
        raise DataError(f"label {largest}, but there are {len(names)} classes")
    if len(names) < 2:
        raise DataError("there is only one class")
    return Source(name, names, parts[0], parts[1], mirrored=mirrored)


def read(given: Any, part: str) -> Images:
    """Return one part as images."""
    if isinstance(given, Images):
        pixels, labels = given.pixels, given.labels
    elif isinstance(given, tuple) and len(given) == 2:
        pixels, labels = (
            as_tensor(given[0], f"{part} images"),
            as_tensor(given[1], f"{part} labels"),
        )
    else:
        pixels, labels = collect(given, part)
    for each, what in ((pixels, "images"), (labels, "labels")):
        if each.is_meta or each.layout != torch.strided:
            raise DataError(f"{part} {what} must be a plain tensor, and hold values")
    if pixels.ndim == 3:
        pixels = pixels[:, None]
    if pixels.ndim != 4 or pixels.numel() == 0:
        raise DataError(f"{part} images must be (N, C, H, W), not {tuple(pixels.shape)}")
    if pixels.is_floating_point() and tuple(pixels.shape[2:]) == (1, 1):
        pixels = pixels.float()  # points
    elif pixels.dtype != torch.uint8:
        raise DataError(f"{part} images must be uint8 (0 to 255), not {pixels.dtype}")
    if labels.shape != (len(pixels),):
        raise DataError(f"{part}: {len(pixels)} images, labels of shape {tuple(labels.shape)}")
    if labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
        raise DataError(f"{part} labels must be whole numbers, not {labels.dtype}")
    labels = labels.long()
    if int(labels.min()) < 0:
        raise DataError(f"{part} labels must be 0 or more, not {int(labels.min())}")
    return Images(pixels, labels)


def as_tensor(given: Any, what: str) -> Tensor:
    """Return a tensor of what a user calls one; arrays are copied, whatever their strides."""
    try:
        return torch.as_tensor(numpy.array(given) if isinstance(given, numpy.ndarray) else given)
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise DataError(f"{what} cannot be made a tensor: {error}") from error


def collect(dataset: Any, part: str) -> tuple[Tensor, Tensor]:
    """Read a map-style data set into two tensors."""
    items: list[Any] = []
    try:
        items += (dataset[index] for index in range(len(dataset)))
        images, labels = zip(*items, strict=True)
    except (TypeError, ValueError, LookupError) as error:
        raise DataError(
            f"{part} must be a pair (images, labels) or a data set of (image, label): {error}"
        ) from error
    except Exception as error:  # a user's own code
        reason = f"{type(error).__name__}: {error}"
        raise DataError(f"{part}: image {len(items)} cannot be had: {reason}") from error
    pixels = [one_image(image, part) for image in images]
    shapes = {tuple(image.shape) for image in pixels}
    if len(shapes) > 1:
        raise DataError(f"{part} images must be of one size, not {sorted(shapes)[:3]}")
    return torch.stack(pixels), torch.tensor([one_label(label, part) for label in labels])


def one_label(label: Any, part: str) -> int:
    """Return a label as a whole number; 0.7 is none."""
    try:
        return min(operator.index(label), 2**62)  # too large in any case
    except (TypeError, ValueError, RuntimeError) as error:
        raise DataError(f"{part}: a label must be a whole number, not {label!r}") from error


def one_image(image: Any, part: str) -> Tensor:
    """Return ``(C, H, W)`` uint8."""
    if isinstance(image, Image.Image):
        grey = image.mode in ("1", "L", "I", "F") or image.mode.startswith("I;")
        turned = upright(image.copy())
        return to_tensor(turned, 1 if grey else 3, (turned.height, turned.width))
    if isinstance(image, numpy.ndarray):
        if image.ndim not in (2, 3):
            raise DataError(f"{part}: an image of shape {image.shape} is not (H, W) or (H, W, C)")
        tensor = as_tensor(image, f"{part} images")
        return tensor[None] if tensor.ndim == 2 else tensor.permute(2, 0, 1)
    if isinstance(image, Tensor) and image.is_floating_point():
        if not (image.numel() and image.min() >= 0 and image.max() <= 1):
            raise DataError(f"{part}: float images must be from 0 to 1, before normalisation")
        return (image * 255).round().to(torch.uint8)
    if isinstance(image, Tensor):
        return image
    raise DataError(f"{part}: an image is a {type(image).__name__}")
