"""A budget: what is refused before a training begins, and how a step is made to fit."""

import re
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch

import convsmith
from convsmith.api import budget
from convsmith.api.budget import allowed_memory, within_budget
from convsmith.api.train import assemble
from convsmith.errors import RecipeError, UserError
from convsmith.recipe.load import load_recipe
from convsmith.training import memory

CPU, CUDA = torch.device("cpu"), torch.device("cuda", 0)


def recipe(*sets):
    return load_recipe("digits", sets=sets).recipe


def test_too_many_parameters_are_refused_before_there_is_a_run(tmp_path):
    with pytest.raises(UserError, match=r"67,754 parameters, budget\.parameters allows 50,000"):
        convsmith.train("digits", sets=["budget.parameters=50000"], runs=tmp_path, progress="none")
    assert list(tmp_path.iterdir()) == []


def test_too_many_flops_are_refused_and_enough_are_not(tmp_path):
    sets = ["train.max_steps=1", "train.precision=fp32", "train.memory_format=contiguous"]
    with pytest.raises(UserError, match=r"FLOPs, budget\.flops allows 1,000"):
        convsmith.train("digits", sets=[*sets, "budget.flops=1e3"], runs=tmp_path, progress="none")
    run = convsmith.train(
        "digits", sets=[*sets, "budget.flops=1e7"], runs=tmp_path, progress="none"
    )
    assert run.finished


@pytest.mark.parametrize(
    ("sets", "said"),
    [
        ("budget.memory=6 gigs", "'6 gigs' is not a size such as 6GB"),
        ("budget.memory=0GB", "is no memory at all"),
        ("budget.memory=120%", "more than 0% and at most 100%"),
        ("budget.parameters=0", "must be at least 1"),
        ("train.gradient_checkpointing=auto", "auto needs budget.memory"),
        ("train.gradient_checkpointing=al", "did you mean `all`?"),
    ],
)
def test_a_budget_that_means_nothing_is_a_mistake(sets, said):
    with pytest.raises(RecipeError) as caught:
        recipe(sets)
    assert said in str(caught.value)
    assert len(caught.value.mistakes) == 1


def test_a_share_is_of_what_is_free(monkeypatch):
    monkeypatch.setattr(budget, "memory", lambda: SimpleNamespace(available=1000))
    assert allowed_memory(recipe("budget.memory=90%"), CPU) == 900
    monkeypatch.setattr(budget, "memory", lambda: SimpleNamespace(available=None))
    with pytest.raises(UserError, match="give a size such as 4GB"):
        allowed_memory(recipe("budget.memory=90%"), CPU)
    assert allowed_memory(recipe(), CPU) is None


def test_a_budget_that_is_far_too_small_is_one_line(tmp_path):
    if not sys.platform.startswith("linux"):
        pytest.skip("the limit is Linux's")
    # In a process of its own: where oneDNN once got no memory, a thread stays without it.
    words = ["train", "digits", "--memory", "8MB", "--set", "model=resnet_wide3"]
    command = [sys.executable, "-m", "convsmith", *words, "--runs", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert re.search(r"not enough for|does not fit|not even the smallest", done.stderr)


def test_what_was_tried_leaves_no_trace(tmp_path):
    sets = ["train.precision=fp32", "train.memory_format=contiguous", "train.epochs=1"]
    free = convsmith.train("digits", sets=sets, runs=tmp_path, name="a", progress="none")
    held = convsmith.train(
        "digits", sets=sets, memory="2GB", runs=tmp_path, name="b", progress="none"
    )
    assert (free.path / "weights.safetensors").read_bytes() == (
        held.path / "weights.safetensors"
    ).read_bytes()


def test_the_graphics_card_gets_a_share_of_its_memory_and_has_it_back(monkeypatch):
    told = []
    monkeypatch.setattr(
        torch.cuda, "get_device_properties", lambda device: SimpleNamespace(total_memory=1000)
    )
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 100)
    monkeypatch.setattr(
        torch.cuda, "set_per_process_memory_fraction", lambda share, device: told.append(share)
    )
    with memory.limited(CUDA, 400):
        assert told == [0.5]
    assert told == [0.5, 1.0]
    with memory.limited(CUDA, 4000):
        assert told[-1] == 1.0


def test_on_a_system_without_limits_it_is_said(monkeypatch):
    monkeypatch.setattr(budget, "can_limit", lambda device: False)
    monkeypatch.setattr(budget, "limited", lambda device, size: memory.limited(CPU, None))
    said = []
    with within_budget(recipe("budget.memory=1GB", "train.device=cpu"), said.append):
        pass
    assert "cannot limit a process" in said[0]


def test_running_out_without_a_budget_names_the_budget():
    with (
        pytest.raises(UserError, match="--memory 90%"),
        within_budget(recipe("train.device=cpu"), print),
    ):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")


def test_stages_are_computed_again_before_batches_are_split(monkeypatch, tmp_path):
    """On a device that has room for two thousand of something, which stages need less of."""
    wanted = recipe(
        "budget.memory=1GB",
        "train.gradient_checkpointing=auto",
        "train.device=cpu",
        "train.precision=fp32",
        "train.memory_format=contiguous",
        "model=vgg_bn",
    )
    places = SimpleNamespace(progress="none", data_root=tmp_path, shown=budget_shown())
    source, parts, model = assemble(wanted, SimpleNamespace(model=None, data=None), places)
    from convsmith.recipe.build import build_job, build_state

    job = build_job(wanted, parts, source, CPU, model)
    tried = []

    def rehearse(job, state, margin):
        tried.append((state.recompute, state.accumulate))
        return 1 if state.recompute else 2

    monkeypatch.setattr(budget, "rehearse", rehearse)
    state = build_state(wanted, job)
    said = []
    budget.make_fit(wanted, parts, job, state, 2**30, said.append)
    assert tried == [((), 1), (("stage1",), 1)]
    assert (state.recompute, state.accumulate) == (("stage1",), 1)
    assert said == ["note: to fit into 1.00 GiB, stage1 is computed again in the backward pass"]
    monkeypatch.setattr(budget, "rehearse", lambda job, state, margin: None)
    with pytest.raises(UserError, match=r"not even the smallest micro-batch .* 1.00 GiB; less is"):
        budget.make_fit(wanted, parts, job, state, 2**30, said.append)


def budget_shown():
    return SimpleNamespace(say=lambda text: None)
