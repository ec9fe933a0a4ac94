"""PyTorch and torchvision without a framework: the loop of the tutorial "Training a Classifier".

https://docs.pytorch.org/tutorials/beginner/blitz/cifar10_tutorial.html; with `--best` what the
recipes for automatic mixed precision and channels last and the DataLoader's own page add.
"""

from itertools import islice

import torch
from common import WORKS, Steps, arguments, report
from torch import nn
from torch_common import count, endless, loader, network, optimizer


def main(*, compiled: bool = False) -> None:
    """Train and print the result."""
    options = arguments(__doc__)
    work = WORKS[options.work]
    best = options.best
    torch.manual_seed(options.seed)
    model = network(options.work)
    if best:
        model = model.to(memory_format=torch.channels_last)
    if compiled:
        model.compile()
    criterion = nn.CrossEntropyLoss()
    chosen = optimizer(model, work, best=best)

    steps = Steps()
    steps.begin()
    layout = torch.channels_last if best else torch.contiguous_format
    for loaded, labels in islice(endless(loader(options, work)), options.steps):
        images = loaded.to(memory_format=layout)
        chosen.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=best):
            outputs = model(images)
            loss = criterion(outputs, labels)
        loss.backward()
        chosen.step()
        steps.end(loss.item())
    report("compiled" if compiled else "plain", "torch", options, count(model), steps)


if __name__ == "__main__":
    main()
