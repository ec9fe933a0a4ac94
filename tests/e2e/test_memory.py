"""What training takes from memory, measured from outside on the real sizes."""

import json
import pickle
import subprocess
import sys

import numpy
import pytest

from convsmith.sizes import parse_size

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
resource.setrlimit(resource.RLIMIT_DATA, (used + 100 * 2**20, resource.RLIM_INFINITY))
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


BUDGETED = """
import json, resource, sys
import torch
import convsmith
from convsmith.api.budget import load_libraries
from convsmith.data import own_source
from convsmith.training.memory import peak_bytes

draw = torch.Generator().manual_seed(0)
labels = torch.arange(192) % 4
pixels = torch.randint(0, 128, (192, 3, 32, 32), generator=draw) + 30 * labels[:, None, None, None]
data = own_source((pixels.to(torch.uint8), labels), (pixels[:32].to(torch.uint8), labels[:32]))
load_libraries()
before = peak_bytes(torch.device("cpu"))
run = convsmith.train(
    {
        "data": {"source": "own", "validation": 0, "augment": "none"},
        "model": {"name": "resnet_small", "norm": "group"},
        "optimizer": {"name": "momentum", "learning_rate": 0.01},
        "train": {"epochs": 2, "batch_size": 96, "precision": "fp32", "log_every": 1,
                  "memory_format": "channels_last", "gradient_checkpointing": sys.argv[3]},
        "budget": {"memory": sys.argv[2]},
    },
    data=data, runs=sys.argv[1], name="run", progress="lines",
)
print(json.dumps({
    "losses": [each["loss"] for each in run.metrics if each["event"] == "step"],
    "grown": peak_bytes(torch.device("cpu")) - before,
    "limit": resource.getrlimit(resource.RLIMIT_DATA)[0],
}))
"""


def budgeted(folder, memory, stages="none"):
    command = [sys.executable, "-c", BUDGETED, str(folder), memory, stages]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), done.stderr


@pytest.mark.timeout(600)
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the limit is Linux's")
def test_a_training_is_made_to_fit_and_learns_the_same(tmp_path):
    free, _ = budgeted(tmp_path / "free", "none")
    split, said = budgeted(tmp_path / "split", "400MB")
    stages, told = budgeted(tmp_path / "stages", "400MB", "auto")
    assert "micro-batches" in said
    assert "computed again" in told
    for held in (split, stages):
        assert held["losses"] == pytest.approx(free["losses"], rel=2e-4)
        assert held["grown"] < parse_size("400MB") < free["grown"]
        assert held["limit"] == -1  # put back
