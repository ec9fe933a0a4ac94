"""The basic block against torchvision's."""

import pytest
import torch
from torch import nn
from torchvision.models.resnet import BasicBlock as Reference

from convsmith.nn.residual import BasicBlock


def pair(channels, out, stride):
    """Ours and theirs with equal weights."""
    ours = BasicBlock(channels, out, stride)
    shortcut = None
    if stride != 1 or channels != out:
        shortcut = nn.Sequential(
            nn.Conv2d(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out)
        )
    theirs = Reference(channels, out, stride, shortcut)
    for mine, other in zip(ours.state_dict().values(), theirs.state_dict().values(), strict=True):
        other.copy_(mine)
    return ours, theirs


@pytest.mark.parametrize(("channels", "out", "stride"), [(8, 8, 1), (8, 16, 2), (8, 16, 1)])
def test_it_is_torchvisions(channels, out, stride):
    ours, theirs = pair(channels, out, stride)
    images = torch.randn(4, channels, 9, 9)
    torch.testing.assert_close(ours(images), theirs(images))
    assert torch.equal(ours.bn1.running_mean, theirs.bn1.running_mean)


def test_the_input_is_left_as_it_was():
    block, images = BasicBlock(4, 4), torch.randn(2, 4, 5, 5)
    before = images.clone()
    block(images)
    assert torch.equal(images, before)


@pytest.mark.parametrize(("channels", "out", "stride"), [(8, 8, 1), (8, 16, 2), (8, 16, 1)])
def test_gradients_are_torchvisions(channels, out, stride):
    ours, theirs = pair(channels, out, stride)
    images = torch.randn(4, channels, 9, 9)
    gradients = []
    for block in (ours, theirs):
        given = images.clone().requires_grad_()
        block(given).square().sum().backward()
        gradients.append([given.grad, *(p.grad for p in block.parameters())])
    for mine, other in zip(*gradients, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (8, 8), (9, 7)])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_a_stride_divides_the_size_and_rounds_up(size, stride):
    found = BasicBlock(3, 5, stride).eval()(torch.randn(2, 3, *size))
    assert found.shape == (2, 5, *(-(-side // stride) for side in size))


def test_the_shortcut_is_the_identity_only_where_the_shape_stays():
    assert isinstance(BasicBlock(4, 4).downsample, nn.Identity)
    for block in (BasicBlock(4, 4, 2), BasicBlock(4, 6), BasicBlock(4, 6, 2)):
        assert isinstance(block.downsample, nn.Sequential)


def test_a_block_whose_branch_is_nothing_passes_on_what_is_positive():
    block = BasicBlock(4, 4).eval()
    nn.init.zeros_(block.bn2.weight)
    images = torch.randn(2, 4, 5, 5)
    assert torch.equal(block(images), images.relu())


def test_dropout_zeroes_whole_channels_in_training_only():
    block, images = BasicBlock(4, 64, dropout=0.5), torch.randn(8, 4, 6, 6)
    seen = []
    block.dropout.register_forward_hook(lambda _, given, out: seen.append((given[0], out)))
    block(images)
    given, out = seen[0]
    dead = (out == 0).all(dim=(2, 3))
    assert 0.4 < dead.double().mean() < 0.6
    torch.testing.assert_close(out[~dead], 2 * given[~dead])
    block.eval()
    assert torch.equal(block(images), block(images))
    assert torch.equal(*seen[-1])


def test_dropout_adds_nothing_to_the_weights():
    plain, dropping = BasicBlock(4, 8, 2), BasicBlock(4, 8, 2, 0.3)
    assert list(plain.state_dict()) == list(dropping.state_dict())
    dropping.load_state_dict(plain.state_dict())
    images = torch.randn(2, 4, 6, 6)
    assert torch.equal(plain.eval()(images), dropping.eval()(images))
