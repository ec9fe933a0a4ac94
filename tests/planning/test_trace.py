"""What is recorded on fake tensors, against what PyTorch really does."""

import copy

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from convsmith.errors import DeviceError
from convsmith.models import MODELS
from convsmith.planning.devices import DEVICES, find_device
from convsmith.planning.estimate import seconds_of
from convsmith.planning.machine import published
from convsmith.planning.trace import trace
from convsmith.training.optimizers import OPTIMIZERS
from convsmith.training.recompute import stages_of

NAMES = ("vgg_bn", "resnet_small", "compact_cnn", "mnist_bn")


def traced(model, batch=4, optimizer="adamw", **options):
    return trace(model, OPTIMIZERS[optimizer], (3, 32, 32), batch, **options)


@pytest.mark.parametrize("name", NAMES)
def test_layers_parameters_and_multiply_adds_are_the_networks(name):
    model = MODELS[name](10, 3, (32, 32))
    found = traced(model)
    assert found.parameters == sum(p.numel() for p in model.parameters())
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.eval()(torch.randn(1, 3, 32, 32))
    assert 2 * found.macs == counter.get_total_flops()
    assert found.gradients == sum(p.nbytes for p in model.parameters())
    assert 2 * found.gradients <= found.optimizer < 2.01 * found.gradients


def test_filters_are_counted_in_both_directions_and_nowhere_else():
    model = MODELS["resnet_small"](10, 3, (32, 32))
    values = sum(m.weight.numel() for m in model.modules() if isinstance(m, nn.Conv2d))
    found = traced(model)
    for phase in ("forward", "backward"):
        assert sum(each.filters for each in found.step if each.phase == phase) == values
    assert all(not each.filters for each in found.step if "conv" not in each.name)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_what_is_kept_is_what_autograd_saves(precision):
    model = MODELS["vgg_bn"](10, 3, (32, 32)).train()
    own = {t.untyped_storage().data_ptr() for t in (*model.parameters(), *model.buffers())}
    saved = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            saved[storage.data_ptr()] = storage
        return tensor

    with (
        torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"),
        torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
    ):
        logits = model(torch.randn(4, 3, 32, 32))
    real = sum(storage.nbytes() for storage in saved.values())
    assert traced(model, precision=precision).kept == pytest.approx(real, rel=0.02)
    assert logits.shape == (4, 10)


def test_looking_changes_nothing():
    model = MODELS["resnet_small"](10, 3, (32, 32)).eval()
    before, random = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    traced(model)
    assert torch.equal(random, torch.get_rng_state())
    assert not model.training
    assert all(p.grad is None for p in model.parameters())
    for key, value in model.state_dict().items():
        assert torch.equal(before[key], value)


def test_recomputing_and_smaller_batches_and_precisions_take_less():
    model = MODELS["vgg_bn"](10, 3, (32, 32))
    whole = traced(model, 32).training_peak
    assert traced(model, 16).training_peak < whole
    assert traced(model, 32, precision="bf16").training_peak < whole
    assert traced(model, 32, recompute=stages_of(model)).training_peak < whole


def test_every_device_is_found_and_a_wrong_name_names_the_nearest():
    for name in DEVICES:
        assert find_device(name.upper().replace("-", " ")) is DEVICES[name]
        machine = published(DEVICES[name])
        assert seconds_of(traced(MODELS["mnist_bn"](10, 3, (32, 32))), machine).step > 0
    assert find_device("NVIDIA A100-SXM4-40GB") is DEVICES["a100"]
    assert find_device("Tesla T4") is DEVICES["t4"]
    with pytest.raises(DeviceError, match="did you mean `rtx-4090`"):
        find_device("rtx-4900")


@pytest.mark.parametrize("name", ["t44", "xm1", "NVIDIA GeForce RTX 3060 Ti", "m1-pro", "a1000"])
def test_a_name_that_only_contains_that_of_a_device_is_another(name):
    with pytest.raises(DeviceError, match="no device is called"):
        find_device(name)


@pytest.mark.parametrize("groups", [1, 2, 8])
@pytest.mark.parametrize("layer", [nn.Conv2d, nn.ConvTranspose2d])
def test_a_backward_pass_takes_twice_the_forward_pass_whatever_the_groups(layer, groups):
    net = nn.Sequential(nn.Conv2d(3, 8, 1), layer(8, 16, 3, groups=groups))
    head = nn.Sequential(net, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 4))
    made = trace(head, lambda m: torch.optim.SGD(m.parameters(), lr=0.1), (3, 9, 9), 2)
    flops = dict.fromkeys(("forward", "backward"), 0)
    for each in made.step:
        if each.owner == "0.1":
            flops[each.phase] += each.flops
    assert flops["backward"] == 2 * flops["forward"] > 0
