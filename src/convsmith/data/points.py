"""Two classes of points in the plane, from scikit-learn: what a network of two inputs learns."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from convsmith.data.images import Images, Say, Source

__all__ = ["circles", "moons"]


def moons(root: Path, say: Say) -> Source:
    """Return two interleaved half circles: 2,000 points to train on and 1,000 to test."""
    from sklearn.datasets import make_moons

    return points("moons", make_moons, {"noise": 0.15})


def circles(root: Path, say: Say) -> Source:
    """Return a circle in a circle: 2,000 points to train on and 1,000 to test."""
    from sklearn.datasets import make_circles

    return points("circles", make_circles, {"noise": 0.1, "factor": 0.5})


def points(name: str, make: Callable[..., Any], options: dict[str, float]) -> Source:
    """Draw both parts, the same for everybody."""
    parts = []
    for count, seed in ((2000, 0), (1000, 1)):
        places, labels = make(n_samples=count, random_state=seed, **options)
        pixels = torch.from_numpy(places).float().reshape(-1, 2, 1, 1)
        parts.append(Images(pixels, torch.from_numpy(labels).long()))
    return Source(name, ("first", "second"), parts[0], parts[1], mirrored=False)
