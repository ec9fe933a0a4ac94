"""Memory that runs out in the middle of a step: the step is made again, and nothing shows."""

import copy
import threading

import pytest
import torch
from tests.training.test_fit import CPU, make_job, noisy_net, plain_net
from torch import nn

from convsmith.training import onednn
from convsmith.training.evaluate import evaluate
from convsmith.training.fit import Finer, Step, fit
from convsmith.training.job import State
from convsmith.training.losses import LOSSES
from convsmith.training.onednn import unstuck
from convsmith.training.precision import make_precision
from convsmith.training.split import Buffers, finer

FULL = "[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory"


class Small(nn.Module):
    """A network that has no memory for more than ``most`` images, before or after its forward."""

    def __init__(self, model, most, where="forward"):
        super().__init__()
        self.model, self.most, self.where = model, most, where
        self.calls = []

    def forward(self, images):
        self.calls.append(len(images))
        if self.where == "forward" and self.training and len(images) > self.most:
            self.model[0](images)
            raise RuntimeError(FULL)
        logits = self.model(images)
        if self.where == "backward" and self.training and len(images) > self.most:
            logits.register_hook(self.refuse)
        return logits

    def refuse(self, gradient):
        raise RuntimeError("could not create a primitive")


@pytest.fixture(autouse=True)
def forgotten():
    yield
    onednn.STUCK.clear()


@pytest.mark.parametrize("where", ["forward", "backward"])
def test_a_step_without_memory_is_made_again_in_micro_batches(where):
    plain = make_job(plain_net(), accumulate=4)
    small = make_job(Small(plain_net(), 2, where))
    wanted = list(fit(plain, State.new(plain)))
    state = State.new(small)
    events = list(fit(small, state))
    assert [each for each in events if isinstance(each, Finer)] == [Finer(1, 4, 2)]
    assert state.accumulate == 4
    losses = [float(each.loss) for each in events if isinstance(each, Step)]
    assert losses == pytest.approx([float(e.loss) for e in wanted if isinstance(e, Step)], rel=1e-6)
    for a, b in zip(plain.model.parameters(), small.model.model.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


def test_batch_norm_does_not_see_the_attempt_that_failed():
    torch.manual_seed(0)
    whole = make_job(noisy_net(), accumulate=2, total_steps=1)
    failing = make_job(Small(noisy_net(), 4, "backward"), total_steps=1)
    list(fit(whole, State.new(whole)))
    list(fit(failing, State.new(failing)))
    for a, b in zip(whole.model.buffers(), failing.model.model.buffers(), strict=True):
        assert torch.equal(a, b)


def test_an_attempt_in_the_middle_of_a_run_changes_neither_images_nor_schedule():
    steady, shaken = make_job(plain_net()), make_job(Small(plain_net(), 8))
    wanted = [float(e.loss) for e in fit(steady, State.new(steady)) if isinstance(e, Step)]
    found = []
    for event in fit(shaken, State.new(shaken)):
        if isinstance(event, Step):
            found.append(float(event.loss))
            shaken.model.most = 3 if event.step == 7 else shaken.model.most
    assert found == pytest.approx(wanted, rel=1e-5)


def test_what_does_not_fit_one_image_is_an_error_and_no_update():
    job = make_job(Small(plain_net(), 0))
    before = copy.deepcopy(job.model.state_dict())
    with pytest.raises(RuntimeError, match="can't allocate memory"):
        list(fit(job, State.new(job)))
    assert job.model.calls == [8, 4, 2, 1]
    for key, value in job.model.state_dict().items():
        assert torch.equal(before[key], value)


def test_other_errors_are_not_taken_for_memory():
    job = make_job(plain_net())
    job.model[0].register_forward_hook(lambda *_: (_ for _ in ()).throw(RuntimeError("mine")))
    with pytest.raises(RuntimeError, match="mine"):
        list(fit(job, State.new(job)))


def test_the_next_split_divides_the_batch_where_it_can():
    plain = plain_net().train()
    steps = [1]
    while (following := finer(plain, 100, steps[-1])) is not None:
        steps.append(following)
    assert steps == [1, 2, 4, 5, 10, 20, 25, 50, 100]
    assert finer(plain, 97, 1) == 2
    assert finer(plain, 97, 64) == 97
    assert finer(plain, 97, 97) is None


def test_batch_norm_never_gets_a_single_image():
    assert finer(noisy_net().train(), 8, 4) is None
    assert finer(noisy_net().train(), 5, 2) is None  # 2, 2, 1
    assert finer(plain_net().train(), 8, 4) == 8


def test_buffers_are_put_back():
    model = noisy_net().train()
    kept = Buffers(model)
    wanted = copy.deepcopy(model.state_dict())
    model(torch.randn(8, 3, 8, 8))
    assert not torch.equal(wanted["1.running_mean"], model.state_dict()["1.running_mean"])
    kept.put_back()
    for key, value in model.state_dict().items():
        assert torch.equal(wanted[key], value)


class Halves(nn.Module):
    """Has no memory for more than three images in evaluation."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, images):
        if len(images) > 3:
            raise RuntimeError(FULL)
        return self.model(images)


def test_evaluation_takes_a_batch_in_parts():
    model = plain_net()
    batches = [(torch.randn(8, 3, 8, 8), torch.arange(8) % 4)]
    loss, precision = LOSSES["cross_entropy"](4), make_precision("fp32", CPU)
    whole = evaluate(model, batches, loss, precision)
    parts = evaluate(Halves(model), batches, loss, precision)
    assert parts.loss == pytest.approx(whole.loss, rel=1e-6)
    assert parts.top1 == whole.top1


def test_after_onednn_failed_in_a_thread_another_one_goes_on():
    threads, broken = [], set()

    def work(fails):
        threads.append(threading.get_ident())
        if fails:
            broken.add(threading.get_ident())
        if threading.get_ident() in broken:  # as oneDNN does, for the rest of the thread's life
            raise RuntimeError("could not create a primitive")
        return torch.is_grad_enabled()

    with pytest.raises(RuntimeError, match="primitive"):
        unstuck(work, True)
    assert unstuck(work, False)
    assert threads[0] == threading.get_ident() != threads[1]
