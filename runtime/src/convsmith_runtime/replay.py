"""Replaying a bundle's golden samples: whether the network says here what it said when exported."""

from dataclasses import dataclass
from io import BytesIO

import numpy

from convsmith_runtime.errors import ImageError
from convsmith_runtime.predict import Predictor

__all__ = ["Replayed", "replay"]


@dataclass(frozen=True)
class Replayed:
    """How the golden samples came out; ``difference`` is the largest of a logit.

    ``problems`` says of each sample that differs by more than ``tolerance``, or cannot be read, by
    how much or why.
    """

    samples: int
    difference: float
    tolerance: float
    problems: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Return whether every sample came out as it should."""
        return not self.problems


def replay(predictor: Predictor) -> Replayed:
    """Predict from the golden image files of a bundle, and compare the logits."""
    bundle = predictor.bundle
    problems, largest = [], 0.0
    for golden in bundle.golden:
        try:
            logits, _ = predictor.run(predictor.read(BytesIO(golden.data))[None])
        except ImageError as error:
            problems.append(f"{golden.name}: {error}")
            continue
        difference = float(numpy.abs(logits[0] - numpy.array(golden.logits)).max())
        largest = max(largest, difference)
        if not difference <= bundle.tolerance:  # NaN is none
            problems.append(
                f"{golden.name}: a logit differs by {difference:.2g}, "
                f"{bundle.tolerance:.2g} is allowed"
            )
    if not bundle.golden:
        problems.append("it holds no golden sample")
    return Replayed(len(bundle.golden), largest, bundle.tolerance, tuple(problems))
