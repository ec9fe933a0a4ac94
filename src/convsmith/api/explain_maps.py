"""The maps that ``explain`` shows, and what can be said of them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn

from convsmith.api.load import Model
from convsmith.api.progress import ticking
from convsmith.data.normalise import Normalise
from convsmith.errors import UserError, did_you_mean
from convsmith.insight.faithfulness import Faithfulness, faithfulness
from convsmith.insight.gradcam import grad_cam, grad_cam_plus_plus
from convsmith.insight.integrated_gradients import integrated_gradients
from convsmith.insight.occlusion import occlusion
from convsmith.insight.target_layer import target_layer
from convsmith.insight.weight_shuffle import shuffled_similarity

__all__ = [
    "Chosen",
    "Explainer",
    "Mapped",
    "Method",
    "figures_of",
    "map_images",
    "shuffled_words",
    "words_of",
]

TITLES = {
    "grad-cam": "Grad-CAM",
    "grad-cam++": "Grad-CAM++",
    "integrated-gradients": "integrated gradients",
    "occlusion": "occlusion",
}
Method = Literal["grad-cam", "grad-cam++", "integrated-gradients", "occlusion"]
BATCH = 8  # images at a time
LIKE = 0.5  # a rank correlation; from here on a map counts as the same


@dataclass(frozen=True)
class Chosen:
    """An image to explain: ``(C, H, W)`` uint8, and its class if that is known."""

    name: str
    pixels: Tensor
    label: str | None = None


@dataclass(frozen=True)
class Mapped:
    """An image with what the network says of it and its map ``(H, W)``.

    ``smooth`` says that the map has fewer places than the image, between which it rises and falls.
    """

    chosen: Chosen
    guess: str
    probability: float
    target: str
    target_probability: float
    map: Tensor
    smooth: bool
    faithfulness: Faithfulness | None


class Explainer:
    """A method, fitted to a network. Final; ``layer`` is None where the method needs none."""

    def __init__(self, model: Model, method: str, layer: str | None) -> None:
        if method not in TITLES:
            hint = did_you_mean(method, TITLES)
            raise UserError(f"no method is called {method!r}{hint}: {', '.join(TITLES)}")
        self.method = method
        self.layer: str | None = None
        if method.startswith("grad-cam"):
            image = torch.zeros(1, model.card.channels, *model.card.image_size)
            device = next(model.module.parameters()).device
            self.layer = target_layer(model.module, image.to(device), layer)
        elif layer is not None:
            raise UserError(f"{method} looks at the whole network: leave the layer out")

    def __str__(self) -> str:
        title = TITLES[self.method]
        return title if self.layer is None else f"{title} at {self.layer}"

    def __call__(self, model: nn.Module, images: Tensor, targets: Tensor) -> Tensor:
        """Return maps ``(N, H, W)`` of normalised images ``(N, C, H, W)``."""
        methods: dict[str, Callable[[nn.Module, Tensor, Tensor], Tensor]] = {
            "grad-cam": partial(grad_cam, layer=self.layer),
            "grad-cam++": partial(grad_cam_plus_plus, layer=self.layer),
            "integrated-gradients": integrated_gradients,
            "occlusion": occlusion,
        }
        maps = methods[self.method](model, images, targets)
        return maps.sum(1) if maps.ndim == 4 else maps  # of integrated gradients: by channel


def map_images(
    model: Model,
    chosen: Sequence[Chosen],
    explain: Explainer,
    target: str | None,
    *,
    check: bool,
) -> tuple[list[Mapped], dict[str, float]]:
    """Return the images with their maps, and how like these stay when layers are shuffled.

    The latter is of the first images, up to 8.

    Args:
        model: the network.
        chosen: the images.
        explain: the method.
        target: the class to explain; None is the likeliest one of each image.
        check: look whether the maps can be believed.
    """
    normalise = Normalise(model.card.mean, model.card.std, model.card.scale)
    device = next(model.module.parameters()).device
    found: list[Mapped] = []
    shuffled: dict[str, float] = {}
    with ticking("auto") as say:
        for start in range(0, len(chosen), BATCH):
            if len(chosen) > 1:
                say(f"explaining image {start + 1} of {len(chosen)}")
            some = chosen[start : start + BATCH]
            pixels = torch.stack([each.pixels for each in some])
            images, probabilities = normalise(pixels.to(device)), model.probabilities(pixels)
            require_finite(some, probabilities)
            targets = probabilities.argmax(1)
            if target is not None:
                targets = torch.full_like(targets, model.classes.index(target))
            where = targets.to(device)
            maps = explain(model.module, images, where)
            trust: Sequence[Faithfulness | None] = [None] * len(some)
            if check:
                trust = faithfulness(model.module, images, where, maps)
            if check and start == 0:
                shuffled = likeness(model.module, images, where, maps, explain)
            parts = zip(some, probabilities, targets.tolist(), maps.cpu(), trust, strict=True)
            found += [mapped(model.classes, explain, *part) for part in parts]
    return found, shuffled


def likeness(
    model: nn.Module, images: Tensor, targets: Tensor, maps: Tensor, explain: Explainer
) -> dict[str, float]:
    """Return how like maps stay on average; empty if all are flat, for these have no likeness."""
    uneven = maps.amax((1, 2)) > maps.amin((1, 2))
    if not uneven.any():
        return {}
    found = shuffled_similarity(model, images[uneven], targets[uneven], maps[uneven], explain)
    return {name: float(each.mean()) for name, each in found.items()}


def require_finite(chosen: Sequence[Chosen], probabilities: Tensor) -> None:
    """Raise UserError, naming the image, where the network's output is no number."""
    wrong = (~probabilities.isfinite().all(1)).nonzero().flatten().tolist()
    if wrong:
        raise UserError(
            f"the network's output for {chosen[wrong[0]].name} is NaN or infinite: there is "
            "nothing to explain; `convsmith diagnose` says where that comes from"
        )


def mapped(
    classes: Sequence[str],
    explain: Explainer,
    chosen: Chosen,
    probabilities: Tensor,
    target: int,
    map_: Tensor,
    trust: Faithfulness | None,
) -> Mapped:
    """Return one image with what was found."""
    guess = int(probabilities.argmax())
    return Mapped(
        chosen=chosen,
        guess=classes[guess],
        probability=float(probabilities[guess]),
        target=classes[target],
        target_probability=float(probabilities[target]),
        map=map_,
        smooth=explain.layer is not None,
        faithfulness=trust,
    )


def words_of(trust: Faithfulness | None) -> str:
    """Return in words whether a map marks what the network goes by; nothing if unchecked."""
    if trust is None:
        return ""
    if trust.flat:
        return "The map is flat: it marks nothing."
    if not trust.telling:
        return "The class is too unlikely here to lose much: the figures say little."
    if trust.found:
        return "Faithful: what it marks counts more than as much elsewhere."
    return "Explains little: what it marks hardly counts more than as much elsewhere."


def figures_of(trust: Faithfulness | None) -> str:
    """Return the figures that the words are about."""
    if trust is None or trust.flat:
        return ""
    return (
        f"deletion {trust.deletion:.2f} (elsewhere {trust.deletion_elsewhere:.2f}), "
        f"insertion {trust.insertion:.2f} ({trust.insertion_elsewhere:.2f}), "
        f"better than {trust.beaten:.0%} of its shifts"
    )


def shuffled_words(shuffled: Mapping[str, float]) -> str:
    """Return in words whether maps depend on what was learned."""
    if not shuffled:
        return ""
    steps = ", ".join(f"{name} {like:.2f}" for name, like in shuffled.items())
    verdict = "the maps depend on what was learned"
    if list(shuffled.values())[-1] >= LIKE:
        verdict = "the maps follow the images more than what was learned: believe them little"
    return (
        f"Likeness (rank correlation) once the layers are shuffled, from the head down: {steps}; "
        f"{verdict}."
    )
