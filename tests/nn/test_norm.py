"""Normalisation against PyTorch's and against the formula."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from convsmith.nn.norm import GhostBatchNorm1d, GhostBatchNorm2d, group_count, make_norm

CHANNELS = 6
DIMS = (1, 2)
BATCH_NORMS = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d}


def batch(count, dims, channels=CHANNELS):
    """Images or vectors whose mean and spread differ by channel and drift along the batch."""
    shape = (count, channels, 5, 3)[: 2 * dims]
    column = (-1, *[1] * (len(shape) - 1))
    row = (1, -1, *[1] * (len(shape) - 2))
    spread = torch.linspace(0.5, 3, channels, dtype=torch.float64).view(row)
    drift = torch.linspace(-1, 1, count, dtype=torch.float64).view(column)
    return torch.randn(shape, dtype=torch.float64) * spread + spread + drift


def pair(dims, kind="ghost"):
    """Ours and BatchNorm with equal weights that are not those of the start."""
    theirs = BATCH_NORMS[dims](CHANNELS).double()
    nn.init.uniform_(theirs.weight, 0.5, 2)
    nn.init.normal_(theirs.bias)
    ours = make_norm(kind, CHANNELS, dims).double()
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs


def assert_equal_states(ours, theirs):
    assert list(ours.state_dict()) == list(theirs.state_dict())
    for name, tensor in theirs.state_dict().items():
        assert torch.equal(ours.state_dict()[name], tensor), name


@pytest.mark.parametrize("dims", DIMS)
def test_each_name_is_a_layer(dims):
    expected = {
        "batch": BATCH_NORMS[dims],
        "group": nn.GroupNorm,
        "ghost": {1: GhostBatchNorm1d, 2: GhostBatchNorm2d}[dims],
    }
    for kind, layer in expected.items():
        assert type(make_norm(kind, CHANNELS, dims)) is layer
    assert isinstance(make_norm("ghost", CHANNELS, dims), BATCH_NORMS[dims])


@pytest.mark.parametrize("kind", ["batch", "group", "ghost"])
def test_no_random_number_is_drawn(kind):
    before = torch.get_rng_state()
    make_norm(kind, 64)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("least", [2, 16])
def test_groups_are_even_and_as_many_as_may_be(least):
    for channels in range(1, 700):
        count = group_count(channels, least)
        assert channels % count == 0
        assert count == 1 or (count <= 32 and channels // count >= least)
        more = range(count + 1, min(32, channels) + 1)
        assert not any(channels % each == 0 and channels // each >= least for each in more)


def test_groups_are_those_of_the_paper_where_32_divides_the_channels():
    for channels in (64, 128, 256, 512):
        assert make_norm("group", channels).num_groups == 32
    assert [group_count(channels, 2) for channels in (1, 2, 17, 32, 48, 100)] == [
        *(1, 1, 1, 16, 24, 25)
    ]
    assert make_norm("group", 512, dims=1).num_groups == 32
    assert make_norm("group", 256, dims=1).num_groups == 16


@pytest.mark.parametrize("dims", DIMS)
def test_group_norm_of_an_image_does_not_depend_on_the_batch(dims):
    layer = make_norm("group", 64, dims).double()
    images = batch(9, dims, channels=64)
    together = layer(images)
    alone = torch.cat([layer(image) for image in images.split(1)])
    torch.testing.assert_close(together, alone, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(layer.eval()(images), together, rtol=0, atol=0)


@pytest.mark.parametrize("dims", DIMS)
def test_group_norm_of_the_narrowest_layers_still_tells_images_apart(dims):
    for channels in (16, 32, 64):
        out = make_norm("group", channels, dims).double()(batch(4, dims, channels))
        assert len(out.round(decimals=3).unique()) > channels


@pytest.mark.parametrize("dims", DIMS)
@pytest.mark.parametrize("count", [2, 31, 32])
def test_a_single_ghost_batch_is_batch_norm(dims, count):
    ours, theirs = pair(dims)
    for _ in range(3):
        images = batch(count, dims)
        given = [images.clone().requires_grad_() for _ in range(2)]
        outs = [layer(each) for layer, each in zip((ours, theirs), given, strict=True)]
        assert torch.equal(*outs)
        for out in outs:
            out.square().sin().sum().backward()
        assert torch.equal(given[0].grad, given[1].grad)
    assert_equal_states(ours, theirs)
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(mine.grad, other.grad)


@pytest.mark.parametrize("dims", DIMS)
@pytest.mark.parametrize("momentum", [0.1, None])
def test_64_images_are_batch_norm_of_one_half_after_the_other(dims, momentum):
    ours, theirs = pair(dims)
    ours.momentum = theirs.momentum = momentum
    images = batch(64, dims)
    assert torch.equal(ours(images), torch.cat([theirs(images[:32]), theirs(images[32:])]))
    assert_equal_states(ours, theirs)
    assert ours.num_batches_tracked == 2


@pytest.mark.parametrize("dims", DIMS)
@pytest.mark.parametrize("count", [33, 70, 96, 1025])
def test_any_batch_is_split_evenly_into_parts_of_at_most_32(dims, count):
    """Outputs and statistics by the formula, in NumPy; 1025 in equal steps would leave one over."""
    layer = make_norm("ghost", CHANNELS, dims).double()
    images = batch(count, dims)
    axes = (0, 2, 3)[: 2 * dims - 1]
    parts = np.array_split(images.numpy(), -(-count // 32))
    assert {len(part) for part in parts} <= {len(parts[0]), len(parts[0]) - 1}
    outs, mean, variance = [], np.zeros(CHANNELS), np.ones(CHANNELS)
    for part in parts:
        centre, spread = part.mean(axes, keepdims=True), part.var(axes, keepdims=True)
        outs.append((part - centre) / np.sqrt(spread + 1e-5))
        mean = 0.9 * mean + 0.1 * centre.ravel()
        variance = 0.9 * variance + 0.1 * part.var(axes, ddof=1)
    found = layer(images).detach().numpy()
    np.testing.assert_allclose(found, np.concatenate(outs), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(layer.running_mean.numpy(), mean, rtol=1e-10)
    np.testing.assert_allclose(layer.running_var.numpy(), variance, rtol=1e-10)
    assert layer.num_batches_tracked == len(parts)


def test_the_gradient_is_that_of_each_ghost_batch_by_itself():
    ours, theirs = pair(2)
    images = batch(70, 2)
    given = [images.clone().requires_grad_() for _ in range(2)]
    ours(given[0]).square().sin().sum().backward()
    for part in given[1].tensor_split(3):
        theirs(part).square().sin().sum().backward()
    torch.testing.assert_close(given[0].grad, given[1].grad, rtol=1e-10, atol=1e-12)
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, other.grad, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("dims", DIMS)
def test_in_evaluation_it_is_batch_norm_whatever_the_batch(dims):
    ours, theirs = pair(dims)
    ours(batch(64, dims))
    theirs.load_state_dict(ours.state_dict())
    before = copy.deepcopy(ours)
    for count in (1, 32, 100):
        images = batch(count, dims)
        assert torch.equal(ours.eval()(images), theirs.eval()(images))
    assert_equal_states(ours, before)


@pytest.mark.parametrize("kind", ["batch", "ghost"])
@pytest.mark.parametrize("count", [20, 70])
@pytest.mark.parametrize("dims", DIMS)
def test_statistics_that_are_not_tracked_for_a_while_stay(dims, count, kind):
    layer, _ = pair(dims, kind)
    layer(batch(40, dims))
    images, before = batch(count, dims), copy.deepcopy(layer)
    layer.track_running_stats = False
    out = layer(images)
    assert_equal_states(layer, before)
    layer.track_running_stats = True
    assert torch.equal(layer(images), out)
    assert layer.num_batches_tracked > before.num_batches_tracked


def test_channels_last_stays_channels_last():
    images = batch(70, 2).contiguous(memory_format=torch.channels_last)
    layer = make_norm("ghost", CHANNELS).double()
    out = layer(images)
    assert out.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(out, layer(images.contiguous()), rtol=1e-10, atol=1e-10)
