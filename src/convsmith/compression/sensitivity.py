"""Which layers bear being integers, and which are better left as they are."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from convsmith.compression.layers import Array, layers_of
from convsmith.compression.quantize import Ranges, static

__all__ = ["KeptFloat", "LayerNoise", "keep_worst", "noise_by_layer"]


@dataclass(frozen=True)
class LayerNoise:
    """What making one layer alone integer does: noise in the logits, as a share of their variance.

    ``agreement`` is how often the likeliest class stays the same.
    """

    name: str
    noise: float
    agreement: float


@dataclass(frozen=True)
class KeptFloat:
    """The layers that were left as they are, and the drop in top-1 before each was and at the end.

    ``drops`` is one longer than ``layers``; ``enough`` is whether the last is within the bound.
    """

    layers: tuple[str, ...]
    drops: tuple[float, ...]
    enough: bool


def noise_by_layer(
    proto: Any, ranges: Ranges, logits: Callable[[Any], Array], *, largest: int
) -> tuple[LayerNoise, ...]:
    """Return the noise of every layer, the worst first.

    Args:
        proto: the network with real numbers.
        ranges: of all its activations.
        logits: what a network says of some images, which are no test images.
        largest: the largest int8 weight.
    """
    expected = logits(proto)
    power = float(expected.var(0).mean()) or 1.0
    names = [layer.name for layer in layers_of(proto.graph)]
    found = []
    for name in names:
        others = [each for each in names if each != name]
        given = logits(static(proto, ranges, keep_float=others, largest=largest, between=False))
        noise = float(((given - expected) ** 2).mean()) / power
        agreement = float((given.argmax(1) == expected.argmax(1)).mean())
        found.append(LayerNoise(name, noise, agreement))
    return tuple(sorted(found, key=lambda each: -each.noise))


def keep_worst(
    order: Sequence[str], drop_without: Callable[[Sequence[str]], float], bound: float
) -> KeptFloat:
    """Leave layers as they are, the worst first, until the drop in top-1 is within the bound.

    Args:
        order: the layers, the worst first.
        drop_without: the drop in top-1, on images that are no test images, with some layers left.
        bound: what may be lost, as a fraction.
    """
    drops = [drop_without(())]
    for count in range(1, len(order) + 1):
        if drops[-1] <= bound:
            break
        drops.append(drop_without(order[:count]))
    return KeptFloat(tuple(order[: len(drops) - 1]), tuple(drops), drops[-1] <= bound)
