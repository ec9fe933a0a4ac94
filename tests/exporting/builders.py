"""A small colour network, test images for it, and what its evaluation says of them."""

import contextlib
from dataclasses import dataclass

import torch
from torch import nn

from convsmith.data.normalise import Normalise
from convsmith.exporting.about import About
from convsmith.exporting.golden import Samples, make_samples
from convsmith.exporting.graph import Input
from convsmith.exporting.verify import Expected

CLASSES = ("red", "green", "blue", "none")
SIZE = (12, 10)
MEAN, STD = (0.48, 0.44, 0.40), (0.21, 0.25, 0.29)


def net(channels=3, classes=4):
    """Two convolutions with BatchNorm, global pooling and a head; weights by seed."""
    torch.manual_seed(0)
    made = nn.Sequential(
        nn.Conv2d(channels, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 16, 3, stride=2),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Dropout(0.5),
        nn.Linear(16, classes),
    )
    with torch.no_grad():
        made[1].running_mean.uniform_(-0.2, 0.2)
        made[-1].weight.mul_(8)
    return made.eval()


def photos(count=40, channels=3, size=SIZE):
    """Smooth images of many colours ``(N, C, H, W)`` uint8."""
    draw = torch.Generator().manual_seed(1)
    small = torch.rand(count, channels, 4, 3, generator=draw)
    smooth = nn.functional.interpolate(small, size, mode="bilinear")
    return (smooth * 255).round().to(torch.uint8)


@dataclass(frozen=True)
class Case:
    """A network with all that an export of it is made of and held against."""

    network: nn.Module
    given: Input
    about: About
    samples: Samples
    expected: Expected


def case(network=None, originals=None, pixels=None):
    """Return a network with its images; labels are what it guesses, but for some."""
    network = net() if network is None else network
    pixels = photos() if pixels is None else pixels
    mean, std = MEAN[: pixels.shape[1]], STD[: pixels.shape[1]]
    normalise = Normalise(mean, std)

    def judge(images):
        with torch.no_grad():
            return network(normalise(images)).float()

    logits = judge(pixels)
    labels = logits.argmax(1)
    labels[::5] = (labels[::5] + 1) % len(CLASSES)
    samples = make_samples(
        pixels, labels.tolist(), originals or [None] * len(pixels), judge, "stretch"
    )
    size = tuple(pixels.shape[2:])
    return Case(
        network,
        Input(pixels.shape[1], size, mean, std),
        About(
            name="colours",
            created="2026-01-01T00:00:00+00:00",
            convsmith="0.1.0",
            network=None,
            classes=CLASSES,
            resize="stretch",
            metrics={},
            recipe="seed: 0",
            licence="MIT",
        ),
        samples,
        Expected(CLASSES, samples.golden, pixels.numpy(), labels.numpy(), logits.numpy()),
    )


def looks(module):
    """Return all of a module that looking at it must not change, and the state of the RNG."""
    weights = {name: value.clone() for name, value in module.state_dict().items()}
    modules = [(name, m.training, len(m._forward_hooks)) for name, m in module.named_modules()]
    gradients = [(each.requires_grad, each.grad) for each in module.parameters()]
    return weights, (modules, gradients, torch.get_rng_state().tolist())


@contextlib.contextmanager
def unchanged(module):
    """Check that a module's weights, modes, gradients and hooks, and the RNG, stay as they are."""
    weights, others = looks(module)
    yield
    after, others_after = looks(module)
    assert weights.keys() == after.keys()
    assert all(torch.equal(weights[name], after[name]) for name in weights)
    assert others == others_after
