"""Which layers bear being integers, and which are better left as they are."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from convsmith.compression.layers import Array

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
    names: Sequence[str], logits_without: Callable[[Collection[str] | None], Array]
) -> tuple[LayerNoise, ...]:
    """Return the noise of every layer, the worst first.

    Args:
        names: the layers.
        logits_without: what the network says of some images, which are no test images, with some
            layers left as they are and all others integers; None leaves all.
    """
    expected = logits_without(None)
    power = float(expected.var(0).mean()) or 1.0
    found = []
    for name in names:
        others = [each for each in names if each != name]
        given = logits_without(others)
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
