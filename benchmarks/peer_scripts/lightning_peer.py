"""Lightning: a LightningModule and a Trainer, as in "Lightning in 15 minutes".

https://lightning.ai/docs/pytorch/stable/starter/introduction.html; with `--best` its pages on speed
and on mixed precision.
"""

import logging
import warnings

import lightning
import torch
from common import WORKS, Steps, Work, arguments, report
from torch import Tensor, nn
from torch_common import count, loader, network, optimizer


class Classifier(lightning.LightningModule):
    """A network, its loss and its optimizer."""

    def __init__(self, name: str, work: Work, best: bool):
        super().__init__()
        self.model = network(name)
        self.work = work
        self.best = best

    def training_step(self, batch: tuple[Tensor, Tensor], _: int) -> Tensor:
        images, labels = batch
        if self.best:
            images = images.to(memory_format=torch.channels_last)
        return nn.functional.cross_entropy(self.model(images), labels)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return optimizer(self, self.work, best=self.best)


class Clock(lightning.Callback):
    """Record the end and the loss of every step."""

    def __init__(self, steps: Steps):
        self.steps = steps

    def on_train_start(self, *_: object) -> None:
        self.steps.begin()

    def on_train_batch_end(
        self, trainer: object, module: object, outputs: dict, *_: object
    ) -> None:
        self.steps.end(outputs["loss"].item())


def main() -> None:
    """Train and print the result."""
    options = arguments(__doc__)
    work = WORKS[options.work]
    best = options.best
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")
    lightning.seed_everything(options.seed, verbose=False)
    module = Classifier(options.work, work, best)
    steps = Steps()
    trainer = lightning.Trainer(
        accelerator="cpu",
        max_steps=options.steps,
        precision="bf16-mixed" if best else "32-true",
        callbacks=[Clock(steps)],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    if best:
        module = module.to(memory_format=torch.channels_last)
    trainer.fit(module, loader(options, work))
    report("lightning", "lightning", options, count(module), steps)


if __name__ == "__main__":
    main()
