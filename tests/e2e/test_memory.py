"""What training takes from memory, measured from outside on the real sizes."""

import pickle
import subprocess
import sys

import numpy
import pytest

IMPORT = """
import torch
from convsmith.training.memory import peak_bytes
print(peak_bytes(torch.device("cpu")))
"""
TRAIN = """
import json, sys
import convsmith
from convsmith.training.memory import peak_bytes
sets = ["train.max_steps=12", "train.precision=bf16", "data.validation=0", "train.epochs=1"]
run = convsmith.train("cifar10-vgg", data_root=sys.argv[1], runs=sys.argv[1], progress="none",
                      sets=[*sets, "schedule.milestones=[]"])
print(run.results.peak_memory_bytes)
"""


@pytest.fixture(scope="module")
def cifar(tmp_path_factory):
    """Sixty thousand images of noise in the official layout: only their sizes matter here."""
    root = tmp_path_factory.mktemp("data")
    folder = root / "cifar-10-batches-py"
    folder.mkdir()
    draw = numpy.random.default_rng(0)
    for name in [*(f"data_batch_{n}" for n in range(1, 6)), "test_batch"]:
        data = draw.integers(0, 256, (10_000, 3072), dtype=numpy.uint8)
        value = {"data": data, "labels": [n % 10 for n in range(10_000)]}
        (folder / name).write_bytes(pickle.dumps(value, protocol=4))
    return root


def measured(*words):
    done = subprocess.run(
        [sys.executable, "-c", *words], capture_output=True, text=True, timeout=280, check=True
    )
    return int(done.stdout)


def test_cifar10_at_batch_128_stays_under_two_gibibytes(cifar):
    taken = measured(TRAIN, str(cifar)) - measured(IMPORT)
    assert 2**28 < taken < 2 * 2**30


LIMITED = """
import resource, sys
import torch
import convsmith.api.train
from convsmith.cli.main import main

used = int(open("/proc/self/status").read().split("VmData:")[1].split()[0]) * 1024
resource.setrlimit(resource.RLIMIT_DATA, (used + 400 * 2**20, resource.RLIM_INFINITY))
main(sys.argv[1:])
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the limit is Linux's")
def test_a_training_that_does_not_fit_is_told_in_one_line(tmp_path):
    words = ["train", "digits", "--batch-size", "1200", "--set", "model=resnet_wide3"]
    sets = ["--set", "train.precision=fp32", "--set", "train.memory_format=contiguous"]
    command = [sys.executable, "-c", LIMITED, *words, *sets, "--runs", str(tmp_path), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert "convsmith: there is not enough memory for this training" in done.stderr
