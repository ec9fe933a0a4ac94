"""Which device is chosen and how it is set up, on stubbed GPUs: no machine here has one."""

import os

import pytest
import torch

from convsmith.data.batches import Loading, Reader
from convsmith.data.images import Images
from convsmith.errors import DeviceError
from convsmith.recipe.build import set_up
from convsmith.recipe.load import load_recipe
from convsmith.training import precision_auto
from convsmith.training.device import bf16_supported, configure, fp16_unsafe, resolve_device
from convsmith.training.memory import peak_bytes, used_bytes

CUDA = torch.device("cuda", 0)
GTX_1660 = ("NVIDIA GeForce GTX 1660 SUPER", (7, 5))
T4 = ("Tesla T4", (7, 5))
RTX_3060 = ("NVIDIA GeForce RTX 3060", (8, 6))
GTX_1080 = ("NVIDIA GeForce GTX 1080", (6, 1))
H100 = ("NVIDIA H100 80GB HBM3", (9, 0))
BUILT = ["sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120"]


@pytest.fixture
def gpus(monkeypatch):
    """Pretend that PyTorch sees some GPUs."""

    def pretend(*cards, built=BUILT):
        index = lambda device: getattr(device, "index", device) or 0  # noqa: E731
        monkeypatch.setattr(torch.cuda, "is_available", lambda: bool(cards))
        monkeypatch.setattr(torch.cuda, "device_count", lambda: len(cards))
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda d: cards[index(d)][0])
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda d: cards[index(d)][1])
        monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: built)

    return pretend


def test_auto_is_the_cpu_without_a_gpu_and_the_first_usable_one_with(gpus):
    gpus()
    assert resolve_device("auto") == torch.device("cpu")
    gpus(RTX_3060)
    assert resolve_device("auto") == torch.device("cuda", 0)
    gpus(GTX_1080, T4)
    assert resolve_device("auto") == torch.device("cuda", 1)
    gpus(GTX_1080)
    assert resolve_device("auto") == torch.device("cpu")


@pytest.mark.parametrize(
    ("card", "built", "fine"),
    [
        (GTX_1660, BUILT, True),
        (GTX_1080, BUILT, False),
        (RTX_3060, ["sm_80"], True),  # code for 8.0 runs on 8.6
        (("A100", (8, 0)), ["sm_86"], False),  # not the other way round
        (H100, ["sm_80"], False),
        (H100, ["sm_80", "compute_80"], True),  # compiled when it is loaded
        (H100, ["sm_90a"], True),
        (("B200", (10, 0)), ["sm_100"], True),
    ],
)
def test_a_card_is_usable_if_the_build_has_code_for_it(gpus, card, built, fine):
    gpus(card, built=built)
    if fine:
        assert resolve_device("cuda") == CUDA
    else:
        with pytest.raises(DeviceError, match=f"no code for {card[0]}"):
            resolve_device("cuda:0")


@pytest.mark.parametrize("name", ["gpu", "cuda:x", "cuda0", "tpu", ""])
def test_an_unknown_device_is_refused_with_those_there_are(gpus, name):
    gpus(T4)
    with pytest.raises(DeviceError, match="auto, cpu, cuda and cuda:N"):
        resolve_device(name)


def test_a_gpu_that_is_not_there_is_refused(gpus):
    gpus(T4)
    with pytest.raises(DeviceError, match="there are 1 GPUs"):
        resolve_device("cuda:1")
    gpus()
    with pytest.raises(DeviceError, match="--device cpu"):
        resolve_device("cuda")


@pytest.mark.parametrize(
    ("card", "bf16", "fp16"),
    [(GTX_1660, False, False), (T4, False, True), (RTX_3060, True, True), (GTX_1080, False, False)],
)
def test_what_a_card_computes_in(gpus, card, bf16, fp16):
    gpus(card)
    assert bf16_supported(CUDA) is bf16
    assert (fp16_unsafe(CUDA) == "") is fp16


def test_turing_without_tensor_cores_is_left_with_fp32(gpus):
    gpus(GTX_1660)
    pairs, rejected = precision_auto.candidates(CUDA, "auto", "auto")
    assert {name for name, _ in pairs} == {"fp32"}
    assert "NaN" in rejected["fp16"]
    gpus(T4)
    assert {name for name, _ in precision_auto.candidates(CUDA, "auto", "auto")[0]} == {
        "fp32",
        "fp16",
    }


def test_a_precision_that_is_asked_for_is_not_second_guessed(gpus):
    gpus(GTX_1660)
    assert precision_auto.candidates(CUDA, "fp16", "contiguous")[0] == [("fp16", "contiguous")]


@pytest.fixture
def switches(monkeypatch):
    """Record what is told to a GPU."""
    told = {}
    monkeypatch.setattr(torch.cuda, "set_device", lambda d: told.update(device=d))
    monkeypatch.setattr(
        torch,
        "use_deterministic_algorithms",
        lambda mode, *, warn_only: told.update(deterministic=mode),
    )
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", False)
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", False)
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", "")  # so that it is undone afterwards
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG")
    return told


@pytest.mark.parametrize("deterministic", [True, False])
def test_the_fastest_algorithm_is_looked_for_unless_determinism_is_wanted(switches, deterministic):
    configure(CUDA, deterministic=deterministic, fixed_size=True)
    assert switches == {"device": CUDA, "deterministic": deterministic}
    assert torch.backends.cudnn.deterministic is deterministic
    assert torch.backends.cudnn.benchmark is not deterministic
    assert ("CUBLAS_WORKSPACE_CONFIG" in os.environ) is deterministic


def test_changing_sizes_are_not_searched_for(switches):
    configure(CUDA, deterministic=False, fixed_size=False)
    assert torch.backends.cudnn.benchmark is False


def test_a_cpu_is_left_as_it_is(monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", False)
    configure(torch.device("cpu"), deterministic=False, fixed_size=True)
    assert torch.backends.cudnn.benchmark is False


def test_what_a_recipe_says_of_a_gpu_reaches_it(monkeypatch):
    said = {}
    monkeypatch.setattr(
        "convsmith.recipe.build.configure", lambda device, **settings: said.update(settings)
    )
    set_up(CUDA, load_recipe("digits", sets=["train.deterministic=false"]).recipe)
    assert said == {"deterministic": False, "fixed_size": True}


def test_memory_of_a_gpu_is_what_pytorch_allocated(monkeypatch):
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 5)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: 7)
    assert (used_bytes(CUDA), peak_bytes(CUDA)) == (5, 7)


def test_batches_that_are_read_ahead_go_to_a_gpu_through_pinned_memory(monkeypatch):
    done = []

    def pinned(tensor):
        done.append(("pinned", tuple(tensor.shape)))
        return tensor

    def moved(tensor, device, *, non_blocking):
        done.append((device, non_blocking))
        return tensor

    monkeypatch.setattr(torch.Tensor, "pin_memory", pinned)
    monkeypatch.setattr(torch.Tensor, "to", moved)
    images = Images(torch.zeros(4, 1, 2, 2, dtype=torch.uint8), torch.zeros(4, dtype=torch.int64))
    for workers in (0, 1):
        done.clear()
        reader = Reader(images, CUDA, Loading(stream=True, workers=workers))
        assert reader.device == torch.device("cpu")  # the rows are chosen where the images are
        next(reader.read([torch.arange(2)]))
        assert done == [("pinned", (2, 1, 2, 2)), ("pinned", (2,)), (CUDA, True), (CUDA, True)]
    here = Reader(images, torch.device("cpu"), Loading(stream=True, workers=1))
    assert len(list(here.read([torch.arange(2)] * 9))) == 9
    assert len(done) == 4
