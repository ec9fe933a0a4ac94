"""What the peers built on PyTorch share: the dataset and the networks."""

import argparse
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import torch
from common import Work, arrays
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms
from torchvision.models import resnet18


class ArrayImages(Dataset):
    """Images and labels in arrays, as torchvision.datasets.CIFAR10 holds and returns them."""

    def __init__(self, folder: Path, transform: Callable | None = None):
        self.images, self.labels = arrays(folder)
        self.transform = transform

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple:
        image = Image.fromarray(self.images[index])
        if self.transform is not None:
            image = self.transform(image)
        return image, int(self.labels[index])


def image_transforms(work: Work) -> transforms.Compose:
    """Return the work's transforms, as torchvision's users write them."""
    augment = [transforms.RandomCrop(32, padding=4), transforms.RandomHorizontalFlip()]
    convert = [transforms.ToTensor(), transforms.Normalize(work.mean, work.std)]
    return transforms.Compose([*augment, *convert] if work.augment else convert)


def loader(options: argparse.Namespace, work: Work) -> DataLoader:
    """Return shuffled batches by two processes, which `--best` keeps from epoch to epoch."""
    return DataLoader(
        ArrayImages(options.data, image_transforms(work)),
        batch_size=work.batch,
        shuffle=True,
        drop_last=True,
        num_workers=2,
        persistent_workers=options.best,
    )


def endless(batches: Iterable) -> Iterator:
    """Yield the batches, epoch after epoch."""
    while True:
        yield from batches


def optimizer(model: nn.Module, work: Work, *, best: bool) -> torch.optim.Optimizer:
    """Return the work's optimizer of PyTorch, with `best` in its fused form."""
    if work.momentum is None:
        return torch.optim.Adam(model.parameters(), lr=work.lr, fused=best)
    return torch.optim.SGD(
        model.parameters(),
        lr=work.lr,
        momentum=work.momentum,
        weight_decay=work.weight_decay,
        fused=best,
    )


def network(name: str) -> nn.Module:
    """Return the work's network with random weights."""
    return {"resnet18": small_resnet18, "compact": compact, "mnist": mnist}[name]()


def small_resnet18() -> nn.Module:
    """Return torchvision's ResNet-18 for images of 32 by 32: 11,173,962 parameters."""
    return small_stem(resnet18(num_classes=10))


def small_stem(model: nn.Module) -> nn.Module:
    """Give a ResNet of torchvision or timm a 3x3 convolution of stride 1 and no first pooling."""
    model.conv1 = nn.Conv2d(3, 64, 3, stride=1, padding=1, bias=False)
    nn.init.kaiming_normal_(model.conv1.weight, mode="fan_out", nonlinearity="relu")
    model.maxpool = nn.Identity()
    return model


def compact() -> nn.Module:
    """Return three convolutions and two linear layers: 2,473,610 parameters."""
    return nn.Sequential(
        *(nn.Conv2d(3, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(64, 128, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(128, 256, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Dropout(0.5), nn.Linear(4096, 512), nn.ReLU()),
        *(nn.Dropout(0.5), nn.Linear(512, 10)),
    )


def mnist() -> nn.Module:
    """Return two convolutions and two linear layers: 184,586 parameters."""
    return nn.Sequential(
        *(nn.Conv2d(1, 32, 5), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(32, 64, 5), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(1024, 128), nn.ReLU(), nn.Dropout(0.5), nn.Linear(128, 10)),
    )


def count(model: nn.Module) -> int:
    """Return the number of trainable parameters."""
    return sum(each.numel() for each in model.parameters() if each.requires_grad)
