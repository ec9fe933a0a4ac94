"""Readings of a step against numbers computed by hand; and training that does not notice."""

import copy

import numpy
import pytest
import torch
from torch import nn

from convsmith.insight.watch import IMAGES, Watch, histogram, spread


def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3),
        nn.BatchNorm2d(4),
        nn.ReLU(inplace=True),
        nn.Flatten(),
        nn.Linear(144, 3),
    )


def step(model, optimizer, images, labels):
    optimizer.zero_grad()
    loss = nn.functional.cross_entropy(model(images), labels)
    loss.backward()
    optimizer.step()
    return float(loss.detach())


@pytest.fixture
def batch():
    return torch.randn(20, 1, 8, 8), torch.arange(20) % 3


def test_a_reading_says_what_happened_in_the_step(batch):
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    before = copy.deepcopy(model)
    watch = Watch(model)
    loss = step(model, optimizer, *batch)
    reading = watch.read(1, 0.1, loss)
    watch.close()
    assert [each.name for each in reading.layers] == ["0", "4"]
    for layer in reading.layers:
        now, then = (net[int(layer.name)].weight.detach() for net in (model, before))
        gradient = model[int(layer.name)].weight.grad
        assert layer.gradient_norm == pytest.approx(float(gradient.norm()))
        assert layer.gradient.largest == pytest.approx(float(gradient.abs().max()))
        assert layer.weight_norm == pytest.approx(float(now.norm()))
        assert layer.update_ratio == pytest.approx(
            float((now - then).norm() / now.norm()), rel=1e-4
        )
    assert [each.kind for each in reading.outputs] == [
        *("Conv2d", "BatchNorm2d", "ReLU", "Flatten", "Linear")
    ]
    normed = before[1].train()(before[0](batch[0])).detach()[:IMAGES]
    assert reading.outputs[1].spread.mean == pytest.approx(float(normed.mean()), abs=1e-6)
    assert reading.outputs[2].spread.zeros == pytest.approx(float((normed <= 0).float().mean()))


def test_a_validation_between_two_steps_is_not_looked_at(batch):
    model = network()
    watch = Watch(model)
    with torch.inference_mode():
        model.eval()(torch.full_like(batch[0], 50.0))
    loss = step(model.train(), torch.optim.SGD(model.parameters(), 0.1), *batch)
    normed = next(each for each in watch.read(1, 0.1, loss).outputs if each.kind == "BatchNorm2d")
    watch.close()
    assert normed.spread.largest < 10


def test_an_output_without_values_is_left_out(batch):
    class Empty(nn.Module):
        def forward(self, x):
            return x[:, :0]

    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            self.empty, self.head = Empty(), nn.Linear(64, 3)

        def forward(self, x):
            self.empty(x)
            return self.head(x.flatten(1))

    model = Both()
    watch = Watch(model, histograms=True)
    loss = step(model, torch.optim.SGD(model.parameters(), 0.1), *batch)
    assert [each.name for each in watch.read(1, 0.1, loss).outputs] == ["head"]
    watch.close()


def test_training_goes_on_to_the_same_bits_with_and_without_being_watched(batch):
    plain, watched = network(), network()
    for model in (plain, watched):
        optimizer = torch.optim.Adam(model.parameters(), 0.01)
        random = torch.get_rng_state()
        for number in range(4):
            watch = Watch(model, histograms=True) if model is watched else None
            loss = step(model, optimizer, *batch)
            if watch is not None:
                watch.read(number, 0.01, loss)
                watch.close()
        assert torch.equal(torch.get_rng_state(), random)
    for name, tensor in plain.state_dict().items():
        assert torch.equal(tensor, watched.state_dict()[name]), name
    assert not any(each._forward_hooks for each in watched.modules())


def test_without_a_step_there_is_no_update_and_frozen_layers_are_left_out(batch):
    model = network()
    model[0].requires_grad_(False)
    watch = Watch(model)
    nn.functional.cross_entropy(model(batch[0]), batch[1]).backward()
    reading = watch.read(1, 0.0, 1.0, updated=False)
    watch.close()
    assert [(each.name, each.update_ratio) for each in reading.layers] == [("4", None)]


def test_layers_are_in_the_order_of_the_forward_pass(batch):
    class Backwards(nn.Module):
        def __init__(self):
            super().__init__()
            self.last, self.first = nn.Linear(5, 3), nn.Linear(64, 5)

        def forward(self, x):
            return self.last(self.first(x.flatten(1)))

    model = Backwards()
    watch = Watch(model)
    loss = step(model, torch.optim.SGD(model.parameters(), 0.1), *batch)
    assert [each.name for each in watch.read(1, 0.1, loss).layers] == ["first", "last"]
    watch.close()


def test_histograms_are_numpys(batch):
    values = torch.randn(5000)
    found = histogram(values)
    counts, edges = numpy.histogram(values.numpy(), bins=len(found.counts))
    assert (found.low, found.high) == pytest.approx((edges[0], edges[-1]))
    assert numpy.abs(numpy.array(found.counts) - counts).sum() <= 4  # rounding at the edges
    assert sum(found.counts) == 5000
    assert histogram(torch.full((7,), 2.0)).counts == (7,)
    assert sum(histogram(torch.tensor([1.0, torch.nan, 2.0])).counts) == 2
    assert not torch.tensor(spread(torch.tensor([1.0, torch.inf])).largest).isfinite()


def test_a_weight_that_is_zero_and_stays_so_has_no_update():
    layer = nn.Linear(2, 2)
    nn.init.zeros_(layer.weight)
    watch = Watch(layer)
    layer(torch.zeros(1, 2)).sum().backward()
    assert watch.read(1, 0.1, 1.0).layers[0].update_ratio == 0
    nn.init.ones_(layer.weight)
    assert watch.read(1, 0.1, 1.0).layers[0].update_ratio == 1
    watch.close()
