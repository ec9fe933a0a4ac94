"""Dropout against its definition and against PyTorch's."""

import pytest
import torch
from torch import nn

from convsmith.nn.dropout import Dropout

COUNT = 400_000


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_share_p_is_zeroed_and_the_rest_scaled(p, dtype):
    torch.manual_seed(0)
    out = Dropout(p)(torch.ones(COUNT, dtype=dtype))
    assert out.dtype == dtype
    zeros = float((out == 0).double().mean())
    assert abs(zeros - p) < 5 * (p * (1 - p) / COUNT) ** 0.5
    assert float(out.max()) == pytest.approx(1 / (1 - p), rel=1e-4 if dtype.itemsize == 4 else 1e-2)
    assert len(out.unique()) == 2


def test_values_are_dropped_independently_of_their_neighbours():
    torch.manual_seed(1)
    kept = (Dropout(0.5)(torch.ones(COUNT)) != 0).double() - 0.5
    for distance in (1, 2, 3, 4, 8, 64):  # four values share one random word
        correlation = float((kept[distance:] * kept[:-distance]).mean()) / 0.25
        assert abs(correlation) < 5 / COUNT**0.5


def test_the_gradient_passes_where_the_value_did():
    torch.manual_seed(2)
    x = torch.full((7, 5, 3), 2.0, requires_grad=True)
    out = Dropout(0.25)(x)
    out.sum().backward()
    assert torch.equal(x.grad, out.detach() / 2)


@pytest.mark.parametrize("p", [0.0, 1.0])
def test_none_and_all_are_pytorchs(p):
    x = torch.randn(5, 5)
    assert torch.equal(Dropout(p)(x), nn.Dropout(p)(x))


def test_evaluation_changes_nothing_and_draws_nothing():
    x, state = torch.randn(5, 5), torch.get_rng_state()
    assert Dropout(0.5).eval()(x) is x
    assert torch.equal(torch.get_rng_state(), state)


def test_the_seed_decides():
    x, layer, outs = torch.ones(1000), Dropout(0.5), []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        outs.append(layer(x))
    assert torch.equal(outs[0], outs[1])
    assert not torch.equal(outs[0], outs[2])


def test_it_is_printed_as_pytorchs():
    assert repr(Dropout(0.3)) == repr(nn.Dropout(0.3))
