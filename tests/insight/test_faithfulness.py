"""Faithfulness of maps of a network whose evidence is known, and of a real one."""

import pytest
import torch
from torch import Tensor, nn

from convsmith.insight.faithfulness import blurred, class_curve, faithfulness, order, shifted


class Corner(nn.Module):
    """Says class 1 where the upper left quarter is bright; sees nothing else."""

    def forward(self, x: Tensor) -> Tensor:
        bright = x[:, 0, :8, :8].mean((1, 2))
        return torch.stack([torch.zeros_like(bright), 8 * bright - 4], dim=1)


@pytest.fixture
def image():
    torch.manual_seed(3)
    image = 0.3 * torch.rand(1, 1, 16, 16)
    image[..., :8, :8] += 1.5 * torch.randn(8, 8).abs()  # detail, which blurring takes away
    return image / image[..., :8, :8].mean()


def bump(row, column):
    place = torch.arange(16.0)
    return (-((place[:, None] - row) ** 2 + (place - column) ** 2) / 20).exp()[None]


def test_a_map_of_the_evidence_is_faithful(image):
    (found,) = faithfulness(Corner(), image, torch.tensor([1]), bump(3.5, 3.5))
    assert found.found
    assert found.beaten == 1
    assert found.probability == pytest.approx(0.982, abs=1e-3)
    assert found.deletion < found.deletion_elsewhere
    assert found.insertion > found.insertion_elsewhere


@pytest.mark.parametrize("place", [(12, 12), (12, 3), (3, 12)])
def test_a_map_of_another_place_explains_little(image, place):
    (found,) = faithfulness(Corner(), image, torch.tensor([1]), bump(*place))
    assert not found.found


def test_a_class_that_has_nothing_to_lose_tells_nothing(image):
    (found,) = faithfulness(Corner(), image, torch.tensor([0]), bump(3.5, 3.5))
    assert not found.telling
    assert not found.found


def test_a_flat_map_is_said_to_be_flat(image):
    for value in (0.0, 3.0):
        (found,) = faithfulness(Corner(), image, torch.tensor([1]), torch.full((1, 16, 16), value))
        assert found.flat
        assert not found.found


def test_a_network_that_sees_nothing_has_no_faithful_map(image):
    class Blind(nn.Module):
        def forward(self, x):
            return x.new_tensor([[2.0, 1.0]]).expand(len(x), 2)

    (found,) = faithfulness(Blind(), image, torch.tensor([0]), bump(3, 3))
    assert not found.found
    assert found.deletion == pytest.approx(found.insertion)
    assert found.deletion == pytest.approx(0.7311, abs=1e-4)


def test_a_curve_goes_from_one_image_to_the_other(image):
    other = torch.zeros_like(image[0])
    ranks = torch.arange(256).view(1, 16, 16)
    curve = class_curve(Corner(), image[0], other, 1, ranks, 4)[0]
    ends = Corner()(torch.stack([image[0], other])).softmax(1)[:, 1]
    torch.testing.assert_close(curve[[0, -1]], ends)
    half = image[0].clone()
    half[:, :8] = 0  # the first two quarters of the places are the upper rows
    torch.testing.assert_close(curve[2], Corner()(half[None]).softmax(1)[0, 1])


def test_places_are_ordered_by_the_map_and_ties_at_random():
    map_ = torch.zeros(6, 6)
    map_[2, 3], map_[5, 0] = 2, 1
    ranks = order(map_, seed=0)
    assert ranks[2, 3] == 0
    assert ranks[5, 0] == 1
    assert sorted(ranks.flatten().tolist()) == list(range(36))
    assert not torch.equal(ranks, order(map_, seed=1))
    assert torch.equal(ranks, order(map_, seed=0))


def test_displaced_maps_are_the_same_map_at_least_a_quarter_away():
    map_ = torch.arange(80.0).view(8, 10)
    for moved in shifted(map_, 20, seed=0):
        assert sorted(moved.flatten().tolist()) == map_.flatten().tolist()
        row, column = divmod(int((moved == 0).nonzero()[0] @ torch.tensor([10, 1])), 10)
        assert 2 <= row <= 6
        assert 2 <= column <= 8


@pytest.mark.parametrize("size", [(1, 4, 4), (3, 40, 24), (1, 2, 9), (3, 1, 5)])
def test_blurring_keeps_even_colours_and_takes_away_detail(size):
    even = torch.full(size, 0.7)
    torch.testing.assert_close(blurred(even), even)
    if min(size[1:]) > 2:
        noise = torch.randn(size)
        assert blurred(noise).std() < noise.std()
