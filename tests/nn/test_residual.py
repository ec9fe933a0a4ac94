"""The basic block against torchvision's."""

import pytest
import torch
from torch import nn
from torchvision.models.resnet import BasicBlock as Reference

from convsmith.nn.residual import BasicBlock


@pytest.mark.parametrize(("channels", "out", "stride"), [(8, 8, 1), (8, 16, 2), (8, 16, 1)])
def test_it_is_torchvisions(channels, out, stride):
    ours = BasicBlock(channels, out, stride)
    shortcut = None
    if stride != 1 or channels != out:
        shortcut = nn.Sequential(
            nn.Conv2d(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out)
        )
    theirs = Reference(channels, out, stride, shortcut)
    for mine, other in zip(ours.state_dict().values(), theirs.state_dict().values(), strict=True):
        other.copy_(mine)
    images = torch.randn(4, channels, 9, 9)
    torch.testing.assert_close(ours(images), theirs(images))
    assert torch.equal(ours.bn1.running_mean, theirs.bn1.running_mean)


def test_the_input_is_left_as_it_was():
    block, images = BasicBlock(4, 4), torch.randn(2, 4, 5, 5)
    before = images.clone()
    block(images)
    assert torch.equal(images, before)
