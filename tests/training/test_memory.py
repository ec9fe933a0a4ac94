"""What a process holds: the system's own figures, and none of its parent's."""

import subprocess
import sys

import pytest
import torch

from convsmith.training.memory import out_of_memory

CHILD = """
import torch
from convsmith.training.memory import peak_bytes, used_bytes
cpu = torch.device("cpu")
before = used_bytes(cpu)
held = torch.ones(200 * 2**20, dtype=torch.uint8)
print(used_bytes(cpu) - before)
del held
print(peak_bytes(cpu) - used_bytes(cpu))
print(peak_bytes(cpu))
"""


def child():
    done = subprocess.run(
        [sys.executable, "-c", CHILD], capture_output=True, text=True, timeout=60, check=True
    )
    return map(int, done.stdout.split())


def test_memory_that_is_taken_is_seen_and_the_peak_remains():
    taken, above, _ = child()
    assert 190 * 2**20 < taken < 220 * 2**20
    assert 190 * 2**20 < above < 220 * 2**20


def test_a_process_does_not_count_what_its_parent_held():
    held = torch.ones(2**30, dtype=torch.uint8)
    *_, peak = child()
    assert peak < 2**30
    assert len(held)


@pytest.mark.parametrize(
    ("error", "memory"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), True),
        (RuntimeError("could not create a primitive"), True),
        (RuntimeError("std::bad_alloc"), True),
        (RuntimeError("can't start new thread"), True),
        (MemoryError(), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("bad_alloc"), False),
    ],
)
def test_what_says_that_memory_ran_out(error, memory):
    assert out_of_memory(error) == memory
