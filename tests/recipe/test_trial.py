"""Networks that cannot be trained on the images at hand are told before a run begins."""

import re

import pytest
import torch
from torch import nn

from convsmith.errors import ModelError
from convsmith.models.pretrained import torchvision
from convsmith.recipe.trial import require_fit

IMAGES = torch.rand(2, 3, 16, 16)


class Two(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3 * 16 * 16, 4)

    def forward(self, x):
        return self.layer(x.flatten(1)), x


def flat(outputs):
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, outputs))


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (flat(5), "net must return (2, 4) logits for 2 images of 4 classes, and returns (2, 5)"),
        (nn.Sequential(flat(4), nn.Flatten(0)), "and returns (8,)"),
        (Two(), "net must return logits as one tensor, and returns a tuple"),
        (nn.Sequential(nn.Flatten(), nn.Linear(9, 4)), "net cannot take images of 3x16x16: mat1"),
        (flat(4).double(), "net cannot take images of 3x16x16: mat1 and mat2"),
        (nn.Sequential(nn.Flatten(), nn.LazyLinear(4)), "net has lazy layers"),
        (flat(4).requires_grad_(False), "net has no parameter that can be trained"),
        (nn.Flatten(), "net has no parameter that can be trained"),
        (torchvision(4, 3, (16, 16), architecture="alexnet"), "net cannot take images of 3x16x16"),
    ],
)
def test_a_network_that_does_not_fit_is_told(model, message):
    with pytest.raises(ModelError, match=re.escape(message)):
        require_fit(model, IMAGES, 4, "net")


def test_looking_changes_nothing():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(), nn.Flatten())
    model.append(nn.Linear(4 * 14 * 14, 4))
    model[2].eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    state = torch.get_rng_state()
    require_fit(model, IMAGES, 4, "net")
    assert torch.equal(torch.get_rng_state(), state)
    assert [module.training for module in model] == [True, True, False, True, True]
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize("persistent", [True, False])
def test_what_a_checkpoint_cannot_hold_is_told(persistent):
    model = flat(4)
    model.register_buffer("scale", torch.ones(1).expand(10), persistent=persistent)
    with pytest.raises(ModelError, match=r"net: scale is an expanded tensor; make it one with"):
        require_fit(model, IMAGES, 4, "net")


def test_batch_normalisation_of_one_value_is_told():
    model = flat(4).append(nn.BatchNorm1d(4))
    require_fit(model, IMAGES, 4, "net")
    with pytest.raises(ModelError, match="net cannot be trained on one image at a time: Expected"):
        require_fit(model, IMAGES, 4, "net", smallest=1)
    assert int(model[-1].num_batches_tracked) == 0
