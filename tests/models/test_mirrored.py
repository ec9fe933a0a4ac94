"""A network that sees every image in the mirror too."""

import torch
from torch import nn

from convsmith.models.mirrored import Mirrored


def test_it_is_the_mean_of_the_logits_and_blind_to_mirrors():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 6 * 4, 5))
    images = torch.randn(7, 3, 8, 6)
    both = Mirrored(network)
    expected = torch.stack([network(images), network(images.flip(-1))]).mean(0)
    torch.testing.assert_close(both(images), expected)
    torch.testing.assert_close(both(images.flip(-1)), both(images))
    assert not torch.allclose(both(images.flip(-2)), both(images))
