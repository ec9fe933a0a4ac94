"""PyTorch and torchvision without a framework: the loop of the tutorial "Training a Classifier".

https://docs.pytorch.org/tutorials/beginner/blitz/cifar10_tutorial.html; with `--best` what the
recipes for automatic mixed precision and channels last and the DataLoader's own page add.
"""

from collections.abc import Iterator
from itertools import islice

import torch
from common import WORKS, Steps, arguments, report
from torch import nn
from torch.utils.data import DataLoader
from torch_common import ArrayImages, count, image_transforms, network


def endless(loader: DataLoader) -> Iterator:
    """Yield the loader's batches, epoch after epoch."""
    while True:
        yield from loader


def main() -> None:
    """Train and print the result."""
    options = arguments(__doc__)
    work = WORKS[options.work]
    best = options.best
    torch.manual_seed(options.seed)
    loader = DataLoader(
        ArrayImages(options.data, image_transforms(work)),
        batch_size=work.batch,
        shuffle=True,
        drop_last=True,
        num_workers=2,
        persistent_workers=best,
    )
    model = network(options.work)
    if best:
        model = model.to(memory_format=torch.channels_last)
    criterion = nn.CrossEntropyLoss()
    if work.momentum is None:
        optimizer = torch.optim.Adam(model.parameters(), lr=work.lr, fused=best)
    else:
        optimizer = torch.optim.SGD(
            model.parameters(),
            lr=work.lr,
            momentum=work.momentum,
            weight_decay=work.weight_decay,
            fused=best,
        )

    steps = Steps()
    steps.begin()
    layout = torch.channels_last if best else torch.contiguous_format
    for loaded, labels in islice(endless(loader), options.steps):
        images = loaded.to(memory_format=layout)
        optimizer.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=best):
            outputs = model(images)
            loss = criterion(outputs, labels)
        loss.backward()
        optimizer.step()
        steps.end(loss.item())
    report("plain", "torch", options, count(model), steps)


if __name__ == "__main__":
    main()
