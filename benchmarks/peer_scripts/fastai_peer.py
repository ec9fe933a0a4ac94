"""fastai: a DataBlock and a Learner, as in its "Computer vision intro" and "Data block tutorial".

https://docs.fast.ai/tutorial.datablock.html; padding and crop are its CropPad and RandomCrop, the
optimizers its own with the settings of PyTorch's. With `--best` its channels_last; its mixed
precision is for CUDA only.
"""

from functools import partial

from common import WORKS, Steps, Work, arguments, arrays, report
from fastai.vision.all import (
    SGD,
    Adam,
    Callback,
    CancelFitException,
    CancelValidException,
    CategoryBlock,
    ChannelsLast,
    CropPad,
    CrossEntropyLossFlat,
    DataBlock,
    DataLoaders,
    FlipItem,
    ImageBlock,
    IndexSplitter,
    Learner,
    Normalize,
    PILImage,
    PILImageBW,
    RandomCrop,
    set_seed,
)
from torch_common import count, network


class Clock(Callback):
    """Record the end and the loss of every step; stop after the last."""

    order = 100

    def __init__(self, steps: Steps, total: int):
        self.steps = steps
        self.total = total

    def before_fit(self) -> None:
        self.steps.begin()

    def after_batch(self) -> None:
        self.steps.end(self.learn.loss.item())
        if len(self.steps.losses) == self.total:
            raise CancelFitException

    def before_validate(self) -> None:
        raise CancelValidException


def loaders(options: object, work: Work) -> DataLoaders:
    """Return fastai's loaders of the arrays."""
    images, labels = arrays(options.data)
    block = DataBlock(
        blocks=(
            ImageBlock(PILImage if len(work.mean) == 3 else PILImageBW),
            CategoryBlock(vocab=range(10)),
        ),
        getters=[images.__getitem__, labels.__getitem__],
        splitter=IndexSplitter([]),
        item_tfms=[CropPad(40), RandomCrop(32), FlipItem()] if work.augment else None,
        batch_tfms=Normalize.from_stats(work.mean, work.std),
    )
    return block.dataloaders(range(len(images)), bs=work.batch)


def main() -> None:
    """Train and print the result."""
    options = arguments(__doc__)
    work = WORKS[options.work]
    set_seed(options.seed)
    if work.momentum is None:
        optimizer = partial(Adam, sqr_mom=0.999, eps=1e-8)
    else:
        optimizer = partial(SGD, mom=work.momentum, decouple_wd=False)
    steps = Steps()
    learner = Learner(
        loaders(options, work),
        network(options.work),
        loss_func=CrossEntropyLossFlat(),
        opt_func=optimizer,
        lr=work.lr,
        wd=work.weight_decay,
        wd_bn_bias=True,
        cbs=[Clock(steps, options.steps), *([ChannelsLast()] if options.best else [])],
    )
    with learner.no_bar(), learner.no_logging():
        learner.fit(options.steps)
    report("fastai", "fastai", options, count(learner.model), steps)


if __name__ == "__main__":
    main()
