"""Near copies are found whatever was done to them, and different images are none."""

import torch

from convsmith.data import load_source
from convsmith.insight.data_rules import LIKE
from convsmith.insight.duplicates import fingerprints, near_copies


def digits(part, count):
    return part.take(torch.arange(count))[0]


def test_changed_copies_are_found_among_real_images():
    source = load_source("digits", None)
    train, other = digits(source.train, 600), digits(source.test, 200)
    draw = torch.Generator().manual_seed(0)
    noise = torch.randn(other.shape, generator=draw)
    chosen = torch.randperm(600, generator=draw)[:200]
    copies = train[chosen].float()
    for changed in (copies, 0.8 * copies + 30, copies + 4 * noise):
        images = changed.round().clamp(0, 255).to(torch.uint8)
        found = near_copies(fingerprints(images), fingerprints(train))
        assert (found.likeness >= LIKE).all()
        assert (found.likest == chosen).all()
    apart = near_copies(fingerprints(other), fingerprints(train))
    assert (apart.likeness < LIKE).all()


def test_blocks_do_not_matter_and_flat_images_are_like_nothing():
    draw = torch.Generator().manual_seed(0)
    many = torch.randint(0, 256, (5000, 3, 4, 4), generator=draw, dtype=torch.uint8)
    found = near_copies(fingerprints(many[4990:]), fingerprints(many))
    assert found.likest.tolist() == list(range(4990, 5000))
    flat = torch.full((2, 1, 8, 8), 40, dtype=torch.uint8)
    assert float(near_copies(fingerprints(flat), fingerprints(flat)).likeness.max()) == 0
