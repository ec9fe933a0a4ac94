"""Random numbers that are derived from what they are for, never carried from one step to the next.

A draw is keyed by ``(seed, purpose, *counters)``, for example ``(0, "augment", epoch, step)``. So a
resumed run draws what the uninterrupted one drew, and no generator state has to be saved.
"""

import hashlib

import torch

__all__ = ["derive", "generator", "seed_dropout"]


def derive(seed: int, purpose: str, *counters: int) -> int:
    """Return a 63-bit seed for one purpose at one place of a run (BLAKE2b of the key)."""
    key = repr((seed, purpose, *counters)).encode()
    return int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "big") >> 1


def generator(seed: int, purpose: str, *counters: int) -> torch.Generator:
    """Return a CPU generator seeded by :func:`derive`."""
    return torch.Generator().manual_seed(derive(seed, purpose, *counters))


def seed_dropout(device: torch.device, seed: int, step: int, micro_batch: int) -> None:
    """Seed the generators that layers draw from: PyTorch's own, on the CPU and on ``device``.

    ``torch.manual_seed`` asks every kind of device there is, which takes longer than a small layer.
    """
    key = derive(seed, "dropout", step, micro_batch)
    torch.default_generator.manual_seed(key)
    if device.type == "cuda":
        torch.cuda.manual_seed(key)
