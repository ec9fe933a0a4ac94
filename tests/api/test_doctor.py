"""What doctor says of machines that are not this one, on stubbed GPUs and control groups."""

from types import SimpleNamespace

import pytest
import torch

from convsmith.api import doctor as doctor_module
from convsmith.api.doctor import doctor
from convsmith.api.machine import DriverGpu, cuda_driver, free_disk, memory

GTX_1660 = ("NVIDIA GeForce GTX 1660", 7, 5)
GTX_1080 = ("NVIDIA GeForce GTX 1080", 6, 1)


@pytest.fixture
def card(monkeypatch):
    """Pretend that this machine has one GPU."""

    def pretend(name, major, minor, *, seen=True, driver="580.95.05"):
        listed = (DriverGpu(name, 6 * 2**30, driver),)
        monkeypatch.setattr(doctor_module, "driver_gpus", lambda: listed)
        monkeypatch.setattr(torch.version, "cuda", "13.0")
        monkeypatch.setattr(torch.backends.cudnn, "version", lambda: 92400)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: seen)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: int(seen))
        monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: ["sm_75", "sm_80", "sm_120"])
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: name)
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (major, minor))
        properties = SimpleNamespace(name=name, major=major, minor=minor, total_memory=6 * 2**30)
        monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: properties)
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (5 * 2**30, 6 * 2**30))

    return pretend


def test_a_gtx_1660_is_used_in_fp32(card, tmp_path):
    card(*GTX_1660)
    report = doctor(data_root=tmp_path)
    (gpu,) = report.gpus
    assert report.device == "cuda:0"
    assert (gpu.capability, gpu.problem, gpu.bf16) == ("7.5", "", False)
    assert "NaN" in gpu.fp16_note
    assert gpu.free_bytes == 5 * 2**30
    assert not any("cuda" in line for line in report.missing)


def test_a_card_without_code_is_told_which_build_has_it(card, tmp_path):
    card(*GTX_1080)
    report = doctor(data_root=tmp_path)
    assert report.device == "cpu"
    assert report.gpus[0].free_bytes is None  # it was not started
    (line,) = [line for line in report.missing if line.startswith("cuda:0")]
    assert "no code for NVIDIA GeForce GTX 1080 (sm_61" in line
    assert line.endswith("the builds of PyTorch for CUDA 12.6 support it")


def test_a_driver_that_is_too_old_is_told_its_minimum(card, tmp_path):
    card(*GTX_1660, seen=False, driver="535.10")
    line = doctor(data_root=tmp_path).missing[0]
    assert "driver 535.10 is too old for CUDA 13.0: update it to 580 or newer" in line
    assert "or install the build of PyTorch for CUDA 12.6" in line


def test_a_build_without_cuda_is_said_where_there_is_a_card(card, monkeypatch, tmp_path):
    card(*GTX_1660, seen=False)
    monkeypatch.setattr(torch.version, "cuda", None)
    assert "built without CUDA" in doctor(data_root=tmp_path).missing[0]


def test_a_broken_data_set_is_found_here(tmp_path):
    folder = tmp_path / "MNIST" / "raw"
    folder.mkdir(parents=True)
    (folder / "train-images-idx3-ubyte.gz").write_bytes(b"x")
    report = doctor(data_root=tmp_path)
    (mnist,) = [each for each in report.data if each.name == "mnist"]
    assert (mnist.images, mnist.problem in report.missing) == (0, True)


def group(tmp_path, limit, used="1000\n"):
    """Make a control group and a process in it."""
    proc, groups = tmp_path / "proc", tmp_path / "cgroup"
    (proc / "self").mkdir(parents=True)
    (proc / "self" / "cgroup").write_text("0::/job\n")
    (proc / "meminfo").write_text("MemTotal: 1000 kB\nMemAvailable: 800 kB\n")
    (groups / "job").mkdir(parents=True)
    (groups / "job" / "memory.max").write_text(limit)
    (groups / "job" / "memory.current").write_text(used)
    (groups / "job" / "memory.stat").write_text("anon 5\ninactive_file 400\n")
    return proc, groups


def test_a_containers_limit_counts_and_its_file_cache_does_not(tmp_path):
    found = memory(*group(tmp_path, "102400\n"))
    assert (found.total, found.limit) == (1000 * 1024, 102_400)
    assert found.available == 102_400 - 600


def test_without_a_limit_the_machine_counts(tmp_path):
    found = memory(*group(tmp_path, "max\n"))
    assert (found.available, found.limit) == (800 * 1024, None)


def test_where_the_system_says_nothing_nothing_is_made_up(tmp_path):
    assert memory(tmp_path / "none", tmp_path / "none").available is None
    assert cuda_driver((), tmp_path) is None
    assert free_disk(tmp_path / "not" / "yet" / "there") > 0
