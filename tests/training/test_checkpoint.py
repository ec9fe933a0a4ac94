import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from convsmith.errors import CheckpointError
from convsmith.training.checkpoint import (
    checkpoints,
    delete_after,
    load_checkpoint,
    prune,
    save_checkpoint,
)

TENSORS = {
    "weights": torch.arange(24.0).reshape(2, 3, 2, 2).to(memory_format=torch.channels_last),
    "half": torch.tensor([1.5, -2.0], dtype=torch.bfloat16),
    "count": torch.tensor(7),
}
FIELDS = {"step": 3, "names": ["a", "b"], "scale": 0.1, "nothing": None}


def test_what_was_saved_is_loaded(tmp_path):
    folder = save_checkpoint(tmp_path, 3, TENSORS, FIELDS)
    tensors, fields = load_checkpoint(folder)
    assert fields == FIELDS
    assert tensors.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert tensors[name].dtype == tensor.dtype
        assert torch.equal(tensors[name], tensor)


def test_the_checksums_are_those_of_sha256sum(tmp_path):
    folder = save_checkpoint(tmp_path, 3, TENSORS, FIELDS)
    check = subprocess.run(["sha256sum", "-c", "--quiet", "SHA256SUMS"], cwd=folder, check=False)
    assert check.returncode == 0


@pytest.mark.parametrize("name", ["tensors.safetensors", "fields.json", "SHA256SUMS"])
def test_any_flipped_bit_is_found(tmp_path, name):
    folder = save_checkpoint(tmp_path, 3, TENSORS, FIELDS)
    file = folder / name
    whole = file.read_bytes()
    places = random.Random(0).sample(range(8 * len(whole)), 40)
    for place in places:
        damaged = bytearray(whole)
        damaged[place // 8] ^= 1 << place % 8
        file.write_bytes(damaged)
        with pytest.raises(CheckpointError):
            load_checkpoint(folder)
    file.write_bytes(whole)
    load_checkpoint(folder)


@pytest.mark.parametrize("name", ["tensors.safetensors", "fields.json", "SHA256SUMS"])
def test_a_missing_or_cut_off_file_is_found(tmp_path, name):
    folder = save_checkpoint(tmp_path, 3, TENSORS, FIELDS)
    file = folder / name
    file.write_bytes(file.read_bytes()[:-5])
    with pytest.raises(CheckpointError):
        load_checkpoint(folder)
    file.unlink()
    with pytest.raises(CheckpointError):
        load_checkpoint(folder)


def test_saving_the_same_step_again_replaces_it(tmp_path):
    save_checkpoint(tmp_path, 3, TENSORS, FIELDS)
    folder = save_checkpoint(tmp_path, 3, TENSORS, {"step": 3, "other": True})
    assert load_checkpoint(folder)[1] == {"step": 3, "other": True}
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000003"]


def test_retention_keeps_the_newest_and_clears_leftovers(tmp_path):
    for step in (8, 9, 10, 11):
        save_checkpoint(tmp_path, step, TENSORS, FIELDS)
    (tmp_path / ".step-00000012.writing").mkdir()
    prune(tmp_path, keep=2)
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
    assert [path.name for path in checkpoints(tmp_path)] == ["step-00000010", "step-00000011"]
    delete_after(tmp_path, 10)
    assert [path.name for path in checkpoints(tmp_path)] == ["step-00000010"]


WRITER = """
import sys, torch
from pathlib import Path
from convsmith.training.checkpoint import prune, save_checkpoint
parent = Path(sys.argv[1])
print("ready", flush=True)
for step in range(10**6):
    tensors = {str(i): torch.full((200_000,), float(step)) for i in range(5)}
    save_checkpoint(parent, step, tensors, {"step": step})
    prune(parent, keep=2)
"""


def test_killed_while_writing_the_newest_checkpoint_is_whole(tmp_path):
    chance = random.Random(1)
    for attempt in range(6):
        parent = tmp_path / str(attempt)
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(parent)], stdout=subprocess.PIPE, text=True
        )
        assert writer.stdout.readline() == "ready\n"
        while not checkpoints(parent):
            time.sleep(0.01)
        time.sleep(chance.uniform(0.05, 0.4))
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        writer.stdout.close()
        for folder in checkpoints(parent):
            tensors, fields = load_checkpoint(folder)
            assert folder.name == f"step-{fields['step']:08d}"
            assert all(torch.all(tensor == fields["step"]) for tensor in tensors.values())


FULL_DISK = """
import resource, signal, sys, torch
from pathlib import Path
from convsmith.training.checkpoint import checkpoints, load_checkpoint, save_checkpoint
parent = Path(sys.argv[1])
save_checkpoint(parent, 1, {"small": torch.ones(10)}, {"step": 1})
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    save_checkpoint(parent, 2, {"large": torch.ones(1_000_000)}, {"step": 2})
except OSError as error:
    print("refused:", error)
print([path.name for path in parent.iterdir()])
load_checkpoint(checkpoints(parent)[-1])
"""


@pytest.mark.skipif(os.name == "nt", reason="RLIMIT is POSIX")
def test_a_file_that_cannot_be_written_leaves_the_older_checkpoint_alone(tmp_path):
    assert resource is not None
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("refused:")
    assert done.stdout.splitlines()[-1] == "['step-00000001']"


REPLACER = """
import sys, torch
from pathlib import Path
from convsmith.training.checkpoint import save_checkpoint
turn = 0
while True:
    save_checkpoint(Path(sys.argv[1]), 3, {"turn": torch.full((20_000,), turn)}, {"turn": turn})
    print(turn, flush=True)
    turn += 1
"""


def test_killed_while_replacing_the_only_checkpoint_one_is_whole(tmp_path):
    for turn in range(12):
        command = [sys.executable, "-c", REPLACER, str(tmp_path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            process.stdout.readline()
            time.sleep(0.002 * turn)
            process.send_signal(signal.SIGKILL)
        tensors, fields = load_checkpoint(checkpoints(tmp_path)[-1])
        assert set(tensors["turn"].tolist()) == {fields["turn"]}


def test_a_checkpoint_set_aside_is_brought_back_where_no_newer_one_came(tmp_path, monkeypatch):
    save_checkpoint(tmp_path, 3, TENSORS, FIELDS)
    original = Path.rename

    def killed(self, target):
        if self.name.endswith(".writing"):
            raise KeyboardInterrupt
        return original(self, target)

    monkeypatch.setattr(Path, "rename", killed)
    with pytest.raises(KeyboardInterrupt):
        save_checkpoint(tmp_path, 3, TENSORS, FIELDS | {"scale": 9})
    assert list(tmp_path.glob("step-*")) == []
    assert load_checkpoint(checkpoints(tmp_path)[0])[1] == FIELDS


def test_a_copy_beside_the_checkpoints_is_left_alone(tmp_path):
    for step in (1, 2, 3):
        save_checkpoint(tmp_path, step, TENSORS, FIELDS)
    shutil.copytree(tmp_path / "step-00000002", tmp_path / "step-00000002.bak")
    assert [int(folder.name[5:]) for folder in checkpoints(tmp_path)] == [1, 2, 3]
    delete_after(tmp_path, 2)
    prune(tmp_path, 1)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "step-00000002",
        "step-00000002.bak",
    ]


def test_tensors_that_share_memory_are_stored_each(tmp_path):
    whole = torch.arange(6.0)
    tied = {"a": whole, "b": whole, "c": whole[2:]}
    tensors, _ = load_checkpoint(save_checkpoint(tmp_path, 1, tied, FIELDS))
    assert all(torch.equal(tensors[name], tied[name]) for name in tied)
