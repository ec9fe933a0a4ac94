"""The loop against hand-written training, and what it promises about stopping and resuming."""

import copy
import itertools
from dataclasses import replace

import pytest
import torch
from torch import nn

from convsmith.errors import CheckpointError, NonFiniteError
from convsmith.randomness import generator
from convsmith.training.ema import Ema
from convsmith.training.fit import EpochEnd, Step, fit, look_every
from convsmith.training.job import Job, State
from convsmith.training.losses import LOSSES
from convsmith.training.optimizers import OPTIMIZERS
from convsmith.training.precision import make_precision
from convsmith.training.recovery import locate_nonfinite
from convsmith.training.schedules import SCHEDULES
from convsmith.training.snapshot import restore, snapshot
from convsmith.training.stopping import EarlyStopping

CPU = torch.device("cpu")


class Images:
    """Forty small images in five batches of eight, shuffled by epoch."""

    steps_per_epoch = 5

    def __init__(self):
        draw = generator(0, "test images")
        self.pixels = torch.randn(40, 3, 8, 8, generator=draw)
        self.labels = torch.randint(0, 4, (40,), generator=draw)

    def epoch(self, epoch, first_step=0):
        order = torch.randperm(40, generator=generator(1, "order", epoch))
        for step in range(first_step, 5):
            chosen = order[8 * step : 8 * step + 8]
            yield self.pixels[chosen], self.labels[chosen]


def plain_net():
    torch.manual_seed(3)
    return nn.Sequential(
        nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(216, 16), nn.ReLU(), nn.Linear(16, 4)
    )


def noisy_net():
    torch.manual_seed(3)
    return nn.Sequential(
        nn.Conv2d(3, 6, 3),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.Flatten(),
        nn.Dropout(0.3),
        nn.Linear(216, 4),
    )


def make_job(model, *, optimizer="momentum", precision="fp32", schedule="cosine", **settings):
    ema = settings.pop("ema", None)
    epochs = settings.pop("epochs", 4)
    return Job(
        model=model,
        batches=settings.pop("batches", None) or Images(),
        loss=LOSSES["cross_entropy"](4),
        optimizer=OPTIMIZERS[optimizer](model, learning_rate=0.05, weight_decay=1e-3),
        schedule=SCHEDULES[schedule](5 * epochs, 5),
        precision=make_precision(precision, CPU),
        epochs=epochs,
        total_steps=settings.pop("total_steps", 5 * epochs),
        seed=7,
        device=CPU,
        ema=None if ema is None else Ema(model, ema),
        **settings,
    )


def run(job, state=None):
    state = state or State.new(job)
    events = list(fit(job, state))
    return state, events


def test_the_loop_is_ordinary_training():
    """Against the loop that a textbook writes: SGD with momentum under a cosine."""
    job = make_job(plain_net())
    reference = plain_net()
    optimizer = torch.optim.SGD(reference.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-3)
    step, losses = 0, []
    for epoch in range(4):
        for images, labels in Images().epoch(epoch):
            for group in optimizer.param_groups:
                group["lr"] = 0.05 * job.schedule(step)
            loss = nn.functional.cross_entropy(reference(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            step += 1
    _, events = run(job)
    steps = [event for event in events if isinstance(event, Step)]
    assert [float(event.loss) for event in steps] == pytest.approx(losses, rel=1e-5)
    for name, weights in reference.state_dict().items():
        torch.testing.assert_close(job.model.state_dict()[name], weights, rtol=1e-5, atol=1e-6)


def test_events_count_steps_and_epochs_and_average_over_images():
    state, events = run(make_job(plain_net(), epochs=2))
    ends = [event for event in events if isinstance(event, EpochEnd)]
    steps = [event for event in events if isinstance(event, Step)]
    assert [event.step for event in steps] == list(range(1, 11))
    assert [(end.epoch, end.step) for end in ends] == [(1, 5), (2, 10)]
    assert ends[0].loss == pytest.approx(sum(float(e.loss) for e in steps[:5]) / 5)
    assert (state.step, state.epoch) == (10, 2)


def test_max_steps_ends_in_the_middle_of_an_epoch_with_its_averages():
    state, events = run(make_job(plain_net(), total_steps=7))
    assert state.step == 7
    assert isinstance(events[-1], EpochEnd)
    assert events[-1].loss == pytest.approx(sum(float(e.loss) for e in events[6:8]) / 2)


@pytest.mark.parametrize("pieces", [2, 4, 8])
def test_accumulation_equals_the_large_batch(pieces):
    whole, split = make_job(plain_net()), make_job(plain_net(), accumulate=pieces)
    run(whole)
    run(split)
    for name, weights in whole.model.state_dict().items():
        torch.testing.assert_close(split.model.state_dict()[name], weights, rtol=1e-4, atol=1e-6)


def test_clipping_bounds_the_gradient():
    clipped = make_job(plain_net(), optimizer="sgd", schedule="constant", clip_norm=1e-3)
    before = copy.deepcopy(clipped.model.state_dict())
    next(fit(clipped, State.new(clipped)))
    moved = sum(
        ((clipped.model.state_dict()[n] - w - (-0.05 * 1e-3) * w) ** 2).sum()
        for n, w in before.items()
    )
    assert moved.sqrt() == pytest.approx(0.05 * 1e-3, rel=1e-2)


SETTINGS = [
    {"optimizer": "sgd", "schedule": "linear"},
    {"optimizer": "nesterov", "ema": 0.9, "accumulate": 2},
    {"optimizer": "adam", "precision": "bf16"},
    {"optimizer": "adamw", "precision": "fp16", "clip_norm": 1.0},
    {"optimizer": "muon", "schedule": "one_cycle"},
]


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda s: s["optimizer"])
@pytest.mark.parametrize("leave_at", [1, 5, 6, 13])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_leaving_at_any_event_and_coming_back_is_bit_identical(settings, leave_at, layout):
    straight = make_job(noisy_net().to(memory_format=layout), **settings)
    run(straight)

    left = make_job(noisy_net().to(memory_format=layout), **settings)
    state = State.new(left)
    for count, _ in enumerate(fit(left, state), 1):
        if count == leave_at:
            break
    tensors, fields = snapshot(left, state)
    tensors = {name: tensor.clone().contiguous() for name, tensor in tensors.items()}

    back = make_job(noisy_net().to(memory_format=layout), **settings)
    state = State.new(back)
    restore(back, state, tensors, fields)
    run(back, state)
    for name, weights in straight.eval_model.state_dict().items():
        assert torch.equal(back.eval_model.state_dict()[name], weights), name


def test_a_checkpoint_without_one_of_its_tensors_or_fields_is_refused():
    job = make_job(noisy_net(), optimizer="adamw", precision="fp16", ema=0.9)
    state = State.new(job, EarlyStopping("loss", patience=3, min_delta=0))
    state.stopping.update(1.0, 1)
    for event in fit(job, state):
        if event.step == 3:
            break
    state.best = {name: tensor.clone() for name, tensor in job.eval_model.state_dict().items()}
    tensors, fields = snapshot(job, state)
    for name in tensors:
        rest = {key: tensor for key, tensor in tensors.items() if key != name}
        with pytest.raises(CheckpointError):
            restore(job, state, rest, fields)
    for name in fields:
        rest = {key: value for key, value in fields.items() if key != name}
        with pytest.raises(CheckpointError):
            restore(job, state, tensors, rest)
    for part in ("stopping", "precision", "optimizer"):
        for name in fields[part]:
            rest = {key: value for key, value in fields[part].items() if key != name}
            with pytest.raises(CheckpointError):
                restore(job, state, tensors, fields | {part: rest})
    restore(job, state, tensors, fields)


class Poisoned(Images):
    """Images of which one batch holds a value that overflows in the network."""

    def epoch(self, epoch, first_step=0):
        for step, (images, labels) in enumerate(super().epoch(epoch, first_step), first_step):
            poisoned = (epoch, step) == (1, 2)
            yield (images.sign() * 3e38 if poisoned else images), labels


@pytest.mark.parametrize("optimizer", ["momentum", "adamw", "muon"])
def test_a_step_that_is_not_finite_changes_no_weight_and_is_named(optimizer):
    job = make_job(plain_net(), optimizer=optimizer, batches=Poisoned())
    state = State.new(job)
    weights = []
    with pytest.raises(NonFiniteError) as caught:
        weights.extend(copy.deepcopy(job.model.state_dict()) for _ in fit(job, state))
    assert caught.value.step == 7
    for name, tensor in weights[-1].items():
        assert torch.equal(job.model.state_dict()[name], tensor)

    again = make_job(plain_net(), optimizer=optimizer, batches=Poisoned())
    where = locate_nonfinite(again, State.new(again), 7)
    assert where == "in the output of `0`"


class Burst(nn.Module):
    """Passes its input on; its gradient is infinite once the input is large."""

    def forward(self, x):
        return torch.where(x.abs() > 1e6, x * torch.inf, x)


def test_the_layer_where_it_began_is_found_among_later_ones():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(192, 8), Burst(), nn.ReLU(), nn.Linear(8, 4))
    with torch.no_grad():
        model[1].weight[3] = 1e7
    job = make_job(model)
    assert locate_nonfinite(job, State.new(job), 0) == "in the output of `2`"


def test_a_gradient_that_explodes_is_found_though_every_output_is_finite():
    class Cliff(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, gradient):
            return gradient * torch.inf

    class Edge(nn.Module):
        def forward(self, x):
            return Cliff.apply(x)

    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(192, 8), Edge(), nn.Linear(8, 4))
    job = make_job(model)
    with pytest.raises(NonFiniteError):
        run(job)
    assert locate_nonfinite(job, State.new(job), 0) == "in the gradient of the output of `1`"


class Recording(nn.Dropout):
    """Keeps the masks that it draws."""

    def __init__(self):
        super().__init__()
        self.masks = []

    def forward(self, x):
        mask = super().forward(torch.ones_like(x))
        if self.training:
            self.masks.append(mask.clone())
        return x * mask


def test_dropout_differs_by_step_and_micro_batch_and_comes_again():
    def masks():
        dropout = Recording()
        job = make_job(nn.Sequential(*plain_net()[:-1], dropout, plain_net()[-1]), accumulate=2)
        for event in fit(job, State.new(job)):
            if isinstance(event, Step) and event.step == 3:
                return dropout.masks
        raise AssertionError

    found = masks()
    assert len(found) == 6
    for number, mask in enumerate(found):
        assert not any(torch.equal(mask, other) for other in found[number + 1 :])
    assert all(torch.equal(a, b) for a, b in zip(found, masks(), strict=True))


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_a_device_that_runs_ahead_is_looked_at_now_and_then_and_nothing_is_lost(
    monkeypatch, precision
):
    job = make_job(Bursting(at=4), precision=precision)
    monkeypatch.setattr("convsmith.training.fit.look_every", lambda job: 3)
    steps, weights = [], []
    events = fit(job, State.new(job))
    for event in itertools.islice(events, 5):
        steps.append(event.step)
        weights.append(job.model.layer.weight.detach().clone())
    with pytest.raises(NonFiniteError) as caught:
        next(events)
    assert caught.value.step == 3  # counted from 0
    assert steps == [1, 2, 3, 4, 5]  # no EpochEnd among them; the sixth step reads the mark
    assert torch.equal(weights[2], weights[4])
    assert not torch.equal(weights[1], weights[2])


class Bursting(nn.Module):
    """Returns infinity in one step."""

    def __init__(self, at):
        super().__init__()
        torch.manual_seed(3)
        self.layer, self.at, self.calls = nn.Linear(192, 4), at, 0

    def forward(self, x):
        self.calls += 1
        return self.layer(x.flatten(1)) * (torch.inf if self.calls == self.at else 1)


def test_only_a_processor_is_looked_at_after_every_step():
    job = make_job(plain_net(), check_every=50)
    assert look_every(job) == 1
    assert look_every(replace(job, device=torch.device("cuda"))) == 50
