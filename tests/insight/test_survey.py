"""A pass of data against units that are dead by construction, and against PyTorch's own layers."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional

from convsmith.insight.survey import survey
from convsmith.nn.residual import BasicBlock


def batches(count=5, classes=4, size=(1, 8, 8)):
    draw = torch.Generator().manual_seed(0)
    for _ in range(count):
        yield (
            torch.randn(12, *size, generator=draw),
            torch.randint(0, classes, (12,), generator=draw),
        )


def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 6, 3),
        nn.BatchNorm2d(6),
        nn.ReLU(inplace=True),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(6, 5),
        nn.Sigmoid(),
        nn.Linear(5, 4),
    )


def test_a_channel_is_dead_only_if_no_image_of_the_pass_ever_wakes_it():
    model = network().eval()
    with torch.no_grad():
        model[1].bias[:2] = -100
        model[1].bias[2] = -2.8  # awake in some images only
    alive = torch.zeros(6, dtype=torch.bool)
    quiet = []
    for images, _ in batches():
        out = model[:3](images).detach()
        alive |= (out > 0).any(dim=(0, 2, 3))
        quiet.append(bool((out[:, 2] == 0).all()))
    found = survey(model, batches())
    relu = next(each for each in found.units if each.kind == "relu")
    assert relu.name == "2"
    assert relu.dead == tuple((~alive).nonzero().flatten().tolist())
    assert set(relu.dead) >= {0, 1}
    assert relu.channels == 6
    share = torch.cat([(model[:3](images) == 0).flatten() for images, _ in batches()])
    assert relu.zeros == pytest.approx(float(share.float().mean()))


def test_saturation_is_counted_at_both_ends():
    model = network().eval()
    with torch.no_grad():
        model[5].weight.zero_()
        model[5].bias.copy_(torch.tensor([-9.0, 9.0, 0.0, 1.0, 9.0]))
    sigmoid = next(each for each in survey(model, batches()).units if each.kind == "sigmoid")
    assert sigmoid.saturated == pytest.approx(3 / 5)
    assert sigmoid.dead == ()


def test_functional_activations_are_seen_and_named_by_their_module():
    block = BasicBlock(1, 3)
    model = nn.Sequential(block, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 4))
    names = [each.name for each in survey(model, batches()).units]
    assert names == ["0", "0 (2)"]


def test_normalised_inputs_are_what_batch_norm_gives_without_scale_and_shift():
    model = network().train()
    with torch.no_grad():
        for images, _ in batches():
            model(images * 3 + 1)
    model[1].weight.data.fill_(7.0)
    bare = copy.deepcopy(model[:2]).eval()
    bare[1].weight.data.fill_(1.0)
    bare[1].bias.data.zero_()
    out = torch.cat([bare(images).detach() for images, _ in batches()])
    found = survey(model, batches()).norms[0]
    assert found.name == "1"
    assert found.means == pytest.approx(out.mean((0, 2, 3)).tolist(), abs=1e-5)
    assert found.stds == pytest.approx(out.std((0, 2, 3), correction=0).tolist(), rel=1e-4)


def test_ranks_and_inputs_are_those_of_all_images():
    model = network()
    model.eval()
    logits = torch.cat([model(images) for images, _ in batches()])
    labels = torch.cat([each for _, each in batches()])
    order = logits.argsort(1, descending=True)
    expected = (order == labels[:, None]).nonzero()[:, 1].bincount(minlength=4)
    found = survey(model.train(), batches())
    assert list(found.ranks) == expected.tolist()
    assert found.images == 60
    images = torch.cat([each for each, _ in batches()])
    assert found.input_mean == pytest.approx(float(images.mean()), abs=1e-6)
    assert found.input_std == pytest.approx(float(images.std(correction=0)), rel=1e-5)


def test_the_network_and_random_numbers_stay_as_they_are():
    model = network().append(nn.Dropout(0.5)).train()
    model[1].eval()
    model[0].weight.grad = torch.ones_like(model[0].weight)
    before, modes = copy.deepcopy(model.state_dict()), [each.training for each in model.modules()]
    random = torch.get_rng_state()
    survey(model, batches())
    assert torch.equal(torch.get_rng_state(), random)
    assert [each.training for each in model.modules()] == modes
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    assert torch.equal(model[0].weight.grad, torch.ones_like(model[0].weight))
    for each in model.modules():
        assert not each._forward_hooks
        assert not each._forward_pre_hooks
    assert functional.relu(torch.tensor([[-1.0]])).item() == 0  # no mode is left behind
