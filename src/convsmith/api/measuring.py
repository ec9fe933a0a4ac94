"""A finished run's network, ready to be measured as its training measured it."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from convsmith.data.images import Source
from convsmith.recipe.build import Parts
from convsmith.recipe.schema import Recipe
from convsmith.runs.folder import RunFolder
from convsmith.runs.model_card import ModelCard
from convsmith.training.evaluate import Evaluation, evaluate
from convsmith.training.losses import Loss
from convsmith.training.precision import Precision

__all__ = ["Measuring"]


@dataclass(frozen=True)
class Measuring:
    """The network on its device, the data, and what a training measures with."""

    folder: RunFolder
    recipe: Recipe
    card: ModelCard
    source: Source
    parts: Parts
    model: nn.Module
    loss: Loss
    precision: Precision
    device: torch.device

    def measure(
        self, batches: Iterable[tuple[Tensor, Tensor]], *, logits: bool = False
    ) -> Evaluation:
        """Evaluate the network on batches of normalised images."""
        return evaluate(self.model, batches, self.loss, self.precision, logits=logits)

    def probabilities(self, evaluation: Evaluation) -> Tensor:
        """Return the ``(N, K)`` probabilities, after the temperature; logits must be kept."""
        assert evaluation.logits is not None
        return (evaluation.logits / self.card.temperature).softmax(1)
