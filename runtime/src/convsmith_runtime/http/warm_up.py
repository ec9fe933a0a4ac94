"""Before the first request: the network runs, and says what it said when it was exported."""

import numpy

from convsmith_runtime.errors import BundleError
from convsmith_runtime.predict import Predictor
from convsmith_runtime.replay import replay
from convsmith_runtime.words import printable

__all__ = ["warm_up"]


def warm_up(predictor: Predictor, batch: int) -> None:
    """Replay the golden samples, and look at as many images at once as there may be.

    Raises:
        BundleError: the network says something else than it did.
    """
    bundle = predictor.bundle
    if bundle.golden:
        problems = replay(predictor).problems
        if problems:
            raise BundleError(f"{printable(bundle.name)} is not served: {problems[0]}")
    rule = bundle.preprocessing
    predictor.run(numpy.zeros((batch, rule.channels, *rule.image_size), numpy.uint8))
