"""The sanity check by shuffled weights, and its rank correlation against SciPy's."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from convsmith.insight.gradcam import grad_cam
from convsmith.insight.weight_shuffle import cascade, rank_correlation, shuffled_similarity
from convsmith.models import MODELS


def edges(model, images, targets):
    """A method that does not look at the network."""
    return images.diff(dim=3).abs().sum(1)


def make():
    model = MODELS["digits_cnn"](4, 1, (8, 8), widths=(8, 16))
    images = torch.randn(6, 1, 8, 8)
    for _ in range(3):
        model(images)
    return model.eval(), images, torch.tensor([0, 1, 2, 3, 0, 1])


def test_a_method_that_ignores_the_network_stays_the_same():
    model, images, targets = make()
    maps = edges(model, images, targets)
    found = shuffled_similarity(model, images, targets, maps, edges)
    for like in found.values():
        torch.testing.assert_close(like, torch.ones(6))


def test_grad_cam_does_not():
    model, images, targets = make()
    maps = grad_cam(model, images, targets)
    found = shuffled_similarity(model, images, targets, maps, grad_cam)
    assert next(iter(found)) == "head"
    assert list(found)[-1] == "stage1.0"
    assert len(found) == 4
    assert found["stage1.0"].mean() < 0.5


@pytest.mark.parametrize("looks", [1, 2, 50])
def test_any_number_of_looks_ends_with_all_shuffled(looks):
    model, images, targets = make()
    maps = edges(model, images, targets)
    names = list(shuffled_similarity(model, images, targets, maps, edges, looks=looks))
    assert names[-1] == "stage1.0"
    assert len(names) == min(looks, 5)


def test_layers_are_shuffled_from_the_head_down_and_keep_their_values():
    model, _, _ = make()
    own = dict(model.named_parameters())
    names = []
    for name, twin in cascade(model, seed=0):
        names.append(name)
        for place, parameter in twin.named_parameters():
            same = torch.equal(parameter, own[place])
            done = place.rpartition(".")[0] in names
            assert same != done or not own[place].std() > 0, place
            assert torch.equal(parameter.flatten().sort()[0], own[place].flatten().sort()[0])
    assert names == ["head", "stage2.3", "stage2.0", "stage1.3", "stage1.0"]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(-3, 3), st.floats(-9, 9)), min_size=2, max_size=40))
@pytest.mark.filterwarnings("ignore")  # SciPy's, on flat values
def test_the_rank_correlation_is_scipys(pairs):
    stats = pytest.importorskip("scipy.stats")
    one, other = torch.tensor(pairs, dtype=torch.float64).T
    expected = stats.spearmanr(one.numpy(), other.numpy()).statistic
    found = float(rank_correlation(one, other))
    assert found == pytest.approx(0 if expected != expected else expected, abs=1e-5)
