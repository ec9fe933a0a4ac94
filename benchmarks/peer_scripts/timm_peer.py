"""timm: its models, loader and optimizers, put together as its own train.py does.

https://huggingface.co/docs/timm/training_script; the crop of the padded image takes the place of
the first transform, as in the scripts of DeiT and its successors for images of 32 by 32. With
`--best` what `--amp --amp-dtype bfloat16 --channels-last` switch on.
"""

from collections.abc import Iterable
from itertools import islice

import timm
import torch
from common import WORKS, Steps, Work, arguments, report
from timm.data import create_loader
from timm.optim import create_optimizer_v2
from torch import nn
from torch_common import ArrayImages, count, endless, network, small_stem
from torchvision import transforms


def loader(options: object, work: Work, best: bool) -> Iterable:
    """Return timm's loader: uint8 batches from the workers, normalized after the prefetch."""
    dataset = ArrayImages(options.data)
    size = (len(work.mean), *dataset.images.shape[1:3])
    batches = create_loader(
        dataset,
        input_size=size,
        batch_size=work.batch,
        is_training=True,
        no_aug=not work.augment,
        color_jitter=None,
        mean=work.mean,
        std=work.std,
        num_workers=2,
        device=torch.device("cpu"),
    )
    if work.augment:
        dataset.transform.transforms[0] = transforms.RandomCrop(32, padding=4)
    return batches


def main() -> None:
    """Train and print the result."""
    options = arguments(__doc__)
    work = WORKS[options.work]
    best = options.best
    timm.utils.random_seed(options.seed)
    if options.work == "resnet18":
        model = small_stem(timm.create_model("resnet18", num_classes=10, zero_init_last=False))
    else:
        model = network(options.work)
    batches = loader(options, work, best)
    if best:
        model = model.to(memory_format=torch.channels_last)
    optimizer = create_optimizer_v2(
        model,
        opt="adam" if work.momentum is None else "momentum",
        lr=work.lr,
        weight_decay=work.weight_decay,
        momentum=work.momentum or 0.9,
        filter_bias_and_bn=False,
        fused=best,
    )
    criterion = nn.CrossEntropyLoss()

    steps = Steps()
    model.train()
    steps.begin()
    layout = torch.channels_last if best else torch.contiguous_format
    for loaded, labels in islice(endless(batches), options.steps):
        images = loaded.contiguous(memory_format=layout)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=best):
            loss = criterion(model(images), labels)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        steps.end(loss.item())
    report("timm", "timm", options, count(model), steps)


if __name__ == "__main__":
    main()
