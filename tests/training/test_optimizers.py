"""Optimizers against hand-written updates, PyTorch's own, and each other."""

import copy
import subprocess
import sys

import pytest
import torch
import torchvision
from torch import nn

from convsmith.training.muon import Muon, as_matrix, matrices
from convsmith.training.optimizers import OPTIMIZERS, muon, parameter_groups

LAYERS = (nn.Conv2d, nn.Linear)
IMAGES = torch.randn(16, 3, 8, 8, generator=torch.Generator().manual_seed(2))
LABELS = torch.arange(16) % 4


def net():
    torch.manual_seed(5)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 12, 3, stride=2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(108, 10),
        nn.ReLU(),
        nn.Linear(10, 4),
    )


def steps(model, optimizer, count=5):
    losses = []
    for _ in range(count):
        optimizer.zero_grad()
        images = IMAGES.to(next(model.parameters()).dtype)
        loss = nn.functional.cross_entropy(model(images), LABELS)
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses


REFERENCES = {
    "sgd": (lambda p: torch.optim.SGD(p, 0.05), {"learning_rate": 0.05}),
    "momentum": (lambda p: torch.optim.SGD(p, 0.05, 0.9), {"learning_rate": 0.05}),
    "nesterov": (
        lambda p: torch.optim.SGD(p, 0.05, 0.8, nesterov=True, weight_decay=0.01),
        {"learning_rate": 0.05, "momentum": 0.8, "weight_decay": 0.01},
    ),
    "adam": (
        lambda p: torch.optim.Adam(p, 1e-2, (0.8, 0.9), 1e-6, weight_decay=0.1),
        {"learning_rate": 1e-2, "beta1": 0.8, "beta2": 0.9, "eps": 1e-6, "weight_decay": 0.1},
    ),
    "adamw": (
        lambda p: torch.optim.AdamW(p, 1e-2, (0.8, 0.9), 1e-6, weight_decay=0.1),
        {"learning_rate": 1e-2, "beta1": 0.8, "beta2": 0.9, "eps": 1e-6, "weight_decay": 0.1},
    ),
}


@pytest.mark.parametrize("name", REFERENCES)
def test_every_option_reaches_pytorchs_optimizer(name):
    make, options = REFERENCES[name]
    ours, theirs = net().double(), net().double()  # Adam would enlarge a float's rounding
    steps(ours, OPTIMIZERS[name](ours, **options))
    steps(theirs, make(theirs.parameters()))
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine, other)


def test_momentum_begins_where_a_parameter_begins_to_learn():
    model, late = net().double(), net().double()
    optimizer, reference = (
        OPTIMIZERS["momentum"](model, learning_rate=0.05),
        torch.optim.SGD(late.parameters(), 0.05, 0.9, fused=False),
    )
    for each, chosen in ((model, optimizer), (late, reference)):
        each[0].requires_grad_(False)
        steps(each, chosen, 2)
        each[0].requires_grad_(True)  # the fused step of PyTorch refuses a mixture of the two
        steps(each, chosen, 2)
    for mine, other in zip(model.parameters(), late.parameters(), strict=True):
        torch.testing.assert_close(mine, other)


def test_sgd_is_the_textbooks_update():
    model = net()
    before = [p.detach().clone() for p in model.parameters()]
    steps(model, OPTIMIZERS["sgd"](model, learning_rate=0.1, weight_decay=0.5), 1)
    for old, parameter in zip(before, model.parameters(), strict=True):
        torch.testing.assert_close(parameter, old - 0.1 * (parameter.grad + 0.5 * old))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_lowers_the_loss(name):
    model = net()
    losses = steps(model, OPTIMIZERS[name](model), 60)
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_norms_and_biases_are_spared_the_decay_on_request(name):
    model = net()
    optimizer = OPTIMIZERS[name](model, weight_decay=0.3, decay_norm_and_bias=False)
    decays = {
        id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]
    }
    assert len(decays) == len(list(model.parameters()))
    for parameter in model.parameters():
        assert decays[id(parameter)] == (0.3 if parameter.ndim > 1 else 0)


def test_frozen_parameters_are_left_alone():
    model = net()
    model[0].weight.requires_grad_(False)
    frozen = id(model[0].weight)
    for group in parameter_groups(model, 0.1, False):
        assert frozen not in map(id, group["params"])
    assert all(p is not model[0].weight for p in matrices(model))


def zeropower(gradient, count=5):
    """Newton-Schulz as Jordan's reference writes it, in bf16 like PyTorch's."""
    x = gradient.bfloat16()
    if len(x) > x.shape[1]:
        x = x.T
    x = x / x.norm().clamp(min=1e-7)
    for _ in range(count):
        a = x @ x.T
        b = torch.addmm(a, a, a, beta=-4.7750, alpha=2.0315)
        x = torch.addmm(x, b, x, beta=3.4445)
    return (x.T if len(gradient) > gradient.shape[1] else x).float()


def test_muons_first_update_of_a_filter_is_its_orthogonalised_momentum():
    model = net()
    before = model[3].weight.detach().clone()
    optimizer = muon(model, learning_rate=0.02)
    steps(model, optimizer, 1)
    gradient = model[3].weight.grad.reshape(12, -1)
    momentum = 0.05 * gradient
    nesterov = gradient + 0.95 * (momentum - gradient)
    expected = before.reshape(12, -1) - 0.02 * max(1, 12 / 72) ** 0.5 * zeropower(nesterov)
    torch.testing.assert_close(model[3].weight.reshape(12, -1), expected, rtol=0, atol=2e-4)


def test_muon_takes_all_filters_but_the_first_and_the_last():
    model = net()
    assert [id(p) for p in matrices(model)] == [id(model[3].weight), id(model[6].weight)]


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_a_filter_and_its_matrix_share_their_storage(layout):
    filters = torch.randn(6, 4, 3, 3).contiguous(memory_format=layout)
    matrix = as_matrix(filters)
    assert matrix.shape == (6, 36)
    assert matrix.data_ptr() == filters.data_ptr()


def test_muon_trains_alike_in_both_layouts():
    plain, last = net(), net().to(memory_format=torch.channels_last)
    steps(plain, muon(plain), 4)
    steps(last, muon(last), 4)
    # bf16 in Newton-Schulz: the order of the columns changes the rounding
    torch.testing.assert_close(plain[3].weight, last[3].weight, rtol=0, atol=6e-3)


def test_muon_follows_a_model_that_changes_its_layout():
    model = net()
    optimizer = muon(model)
    model.to(memory_format=torch.channels_last)
    before = model[3].weight.detach().clone()
    steps(model, optimizer, 1)
    assert not torch.equal(model[3].weight, before)


def test_muons_rest_may_be_sgd_and_has_a_rate_of_its_own():
    model = net()
    optimizer = muon(model, others="sgd", learning_rate=0.02, others_learning_rate=0.005)
    assert isinstance(optimizer, Muon)
    assert [group["lr"] for group in optimizer.param_groups] == [0.02, 0.005]


def test_muons_state_goes_through_its_state_dict():
    model, other = net(), net()
    optimizer, another = muon(model), muon(other)
    steps(model, optimizer, 3)
    other.load_state_dict(model.state_dict())
    another.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    assert steps(model, optimizer, 3) == steps(other, another, 3)


@pytest.mark.parametrize("name", ["vit_b_32", "convnext_tiny", "swin_t"])
def test_muon_takes_filters_and_matrices_only(name):
    with torch.device("meta"):
        model = torchvision.models.get_model(name)
    layers = {id(p) for m in model.modules() if isinstance(m, LAYERS) for p in [m.weight]}
    chosen = matrices(model)
    assert {id(p) for p in chosen} < layers
    assert len(chosen) == len(layers) - 2
    first = next(m.weight for m in model.modules() if isinstance(m, nn.Conv2d))
    assert not any(p is first or len(p) == 1000 for p in chosen)


def test_a_computed_weight_is_not_for_muon():
    model = net()
    nn.utils.parametrizations.weight_norm(model[3])
    steps(model, muon(model))
    assert len(matrices(model)) == 1


EAGER = """
import sys, torch
from convsmith.training.optimizers import OPTIMIZERS
for make in OPTIMIZERS.values():
    model = torch.nn.Sequential(*(torch.nn.Linear(4, 4) for _ in range(3)))
    optimizer = make(model)
    model(torch.ones(2, 4)).sum().backward()
    optimizer.step()
    optimizer.zero_grad()
    optimizer.load_state_dict(optimizer.state_dict())
print("torch._dynamo" in sys.modules)
"""


def test_no_optimizer_imports_the_compiler():
    """It takes nearly as long as torch itself."""
    words = [sys.executable, "-c", EAGER]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.stdout == "False\n", done.stderr


@pytest.mark.parametrize("others", ["adamw", "sgd"])
def test_muons_rest_steps_fused_and_may_thaw_late(others):
    model, late = net().double(), net().double()
    optimizer, plain = muon(model, others=others), muon(late, others=others)
    for group in plain.param_groups[1:]:
        assert group["fused"]
        group["fused"] = False
    for each, chosen in ((model, optimizer), (late, plain)):
        each[0].requires_grad_(False)
        steps(each, chosen, 2)
        each[0].requires_grad_(True)
        steps(each, chosen, 2)
    torch.testing.assert_close(model[0].weight, late[0].weight, rtol=1e-4, atol=1e-6)
