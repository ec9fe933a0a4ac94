"""Gradient checkpointing against the same training without it."""

import copy

import pytest
import torch
from torch import nn

from convsmith.models import MODELS
from convsmith.training.recompute import recomputed, stages_of


def gradients(model, images, stages, precision=None):
    model = copy.deepcopy(model).train()
    torch.manual_seed(5)
    autocast = torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16")
    with autocast, recomputed(model, stages):
        loss = model(images).float().logsumexp(1).sum()
    assert all("forward" not in vars(module) for module in model.modules())
    loss.backward()
    return loss.detach(), {n: p.grad for n, p in model.named_parameters()}, model.state_dict()


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("name", ["vgg_bn", "resnet_wide3", "compact_cnn", "mnist_bn"])
def test_outputs_gradients_and_statistics_are_bit_for_bit_the_same(name, precision):
    model = MODELS[name](10, 3, (32, 32))
    images = torch.randn(4, 3, 32, 32)
    stages = stages_of(model)
    assert stages
    plain = gradients(model, images, (), precision)
    again = gradients(model, images, stages, precision)
    assert torch.equal(plain[0], again[0])
    for first, second in zip(plain[1:], again[1:], strict=True):
        for key in first:
            assert torch.equal(first[key], second[key]), key


def saved_bytes(model, images, stages):
    found = {}

    def keep(tensor):
        found[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    saving = torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor)
    with saving, recomputed(model, stages):
        model(images)
    return sum(found.values())


def test_less_is_kept_for_the_backward_pass():
    model, images = MODELS["vgg_bn"](10, 3, (32, 32)).train(), torch.randn(8, 3, 32, 32)
    weights = sum(p.numel() * 4 for p in model.parameters())
    inputs = images.numel() * 4
    plain = saved_bytes(model, images, ()) - weights
    less = saved_bytes(model, images, stages_of(model)) - weights
    assert inputs < less < plain / 3


def test_the_stages_are_the_parts_with_several_layers_but_the_last():
    assert stages_of(MODELS["vgg_bn"](10, 3, (32, 32))) == ("stage1", "stage2")
    assert stages_of(MODELS["resnet_small"](10, 3, (32, 32))) == (
        "stem",
        "stage1",
        "stage2",
        "stage3",
    )
    assert stages_of(MODELS["mlp"](10, 3, (8, 8))) == ()
    listed = nn.Sequential()
    listed.features = nn.Sequential(
        *(nn.Sequential(nn.Conv2d(3, 3, 3), nn.ReLU()) for _ in range(4)), nn.ReLU()
    )
    listed.head = nn.Linear(3, 2)
    assert stages_of(listed) == ("features.0", "features.1", "features.2")


def test_a_failing_forward_leaves_the_network_as_it_was():
    model = MODELS["vgg_bn"](10, 3, (32, 32)).train()
    with pytest.raises(RuntimeError), recomputed(model, stages_of(model)):
        model(torch.randn(2, 5, 32, 32))
    assert all("forward" not in vars(module) for module in model.modules())
