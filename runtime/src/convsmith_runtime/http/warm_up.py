"""Before the first request: the network runs, and says what it said when it was exported."""

from io import BytesIO

import numpy

from convsmith_runtime.errors import BundleError
from convsmith_runtime.predict import Predictor

__all__ = ["warm_up"]


def warm_up(predictor: Predictor, batch: int) -> None:
    """Look at the golden samples, and at as many images at once as there may be.

    Raises:
        BundleError: an answer is further from the one in the bundle than it allows.
    """
    bundle = predictor.bundle
    for sample in bundle.golden:
        logits, _ = predictor.run(predictor.read(BytesIO(sample.data))[None])
        difference = float(numpy.abs(logits[0] - numpy.array(sample.logits)).max())
        if not difference <= bundle.tolerance:
            raise BundleError(
                f"{bundle.name} is not served: its answer to {sample.name} is {difference:.3g} "
                f"from the one in the bundle, and {bundle.tolerance:.3g} is allowed"
            )
    rule = bundle.preprocessing
    predictor.run(numpy.zeros((batch, rule.channels, *rule.image_size), numpy.uint8))
