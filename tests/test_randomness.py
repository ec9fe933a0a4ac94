"""Seeds are derived from what they are for, and always the same ones."""

import torch

from convsmith.randomness import derive, generator, seed_dropout

CPU = torch.device("cpu")


def test_a_seed_depends_on_every_part_of_its_key_and_on_nothing_else():
    keys = [(0, "order"), (1, "order"), (0, "augment"), (0, "order", 1), (0, "order", 1, 0)]
    assert len({derive(*key) for key in keys}) == len(keys)
    assert derive(7, "augment", 3, 11) == 174441635146794047  # or old runs would not resume


def test_generators_of_one_key_draw_the_same():
    first, second = (torch.rand(4, generator=generator(3, "order", 1)) for _ in range(2))
    assert torch.equal(first, second)


def test_a_gpu_is_seeded_too_and_only_if_there_is_one(monkeypatch):
    seeded = []
    monkeypatch.setattr(torch.cuda, "manual_seed", seeded.append)
    seed_dropout(CPU, 5, 2, 1)
    assert seeded == []
    seed_dropout(torch.device("cuda"), 5, 2, 1)
    assert seeded == [derive(5, "dropout", 2, 1)] == [torch.default_generator.initial_seed()]
