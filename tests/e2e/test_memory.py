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
