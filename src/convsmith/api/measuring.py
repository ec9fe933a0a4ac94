"""A finished run's network, ready to be measured as its training measured it."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from convsmith.recipe.build import Parts
from convsmith.recipe.schema import Recipe
from convsmith.runs.folder import RunFolder
from convsmith.training.evaluate import Evaluation, evaluate
from convsmith.training.losses import Loss
from convsmith.training.precision import Precision

__all__ = ["Measuring"]


@dataclass(frozen=True)
class Measuring:
    """The network on its device, the data, and what a training measures with.

    ``temperature`` is what logits are divided by before they become probabilities.
    """

    folder: RunFolder
    recipe: Recipe
    parts: Parts
    model: nn.Module
    loss: Loss
    precision: Precision
    device: torch.device
    temperature: float

    def measure(
        self, batches: Iterable[tuple[Tensor, Tensor]], *, logits: bool = False
    ) -> Evaluation:
        """Evaluate the network on batches of normalised images."""
        return evaluate(self.model, batches, self.loss, self.precision, logits=logits)

    def probabilities(self, evaluation: Evaluation) -> Tensor:
        """Return the ``(N, K)`` probabilities of an evaluation that kept its logits."""
        assert evaluation.logits is not None
        return (evaluation.logits / self.temperature).softmax(1)
