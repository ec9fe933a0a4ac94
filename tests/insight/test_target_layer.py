"""The end of the last convolutional stage, in every family and in other libraries' networks."""

import pytest
import torch
from torch import nn

from convsmith.errors import UserError
from convsmith.insight.target_layer import target_layer
from convsmith.models import MODELS

OURS = {
    "compact_cnn": ("stage3.0", 3, 32),  # pooling comes before the ReLU there
    "digits_cnn": ("stage2.5", 1, 8),
    "mlp": (None, 1, 8),
    "mnist_bn": ("stage3.2", 1, 28),
    "mnist_cnn": ("stage2.0", 1, 28),
    "resnet_small": ("stage4", 3, 32),
    "resnet_wide3": ("stage3", 3, 32),
    "vgg_bn": ("stage3.8", 3, 32),
}
THEIRS = (
    ("torchvision", "resnet18", "layer4"),
    ("torchvision", "squeezenet1_1", "classifier.2"),
    ("torchvision", "shufflenet_v2_x0_5", "conv5"),
    ("torchvision", "mobilenet_v3_small", "features"),
    ("timm", "resnet10t", "layer4"),
    ("timm", "mobilenetv3_small_050", "blocks"),  # its last convolution comes after the pooling
    ("timm", "convnext_atto", "norm_pre"),  # blocks that have channels last in between
    ("timm", "seresnet18", "layer4"),  # squeezes in between
)


def test_no_family_is_left_out():
    assert MODELS.keys() - {"timm", "torchvision"} == OURS.keys()


@pytest.mark.parametrize("name", OURS)
def test_the_layer_of_every_family(name):
    expected, channels, side = OURS[name]
    model = MODELS[name](10, channels, (side, side))
    images = torch.randn(2, channels, side, side)
    if expected is None:
        with pytest.raises(UserError, match="occlusion or integrated-gradients"):
            target_layer(model, images)
    else:
        assert target_layer(model, images) == expected


@pytest.mark.parametrize(("library", "architecture", "expected"), THEIRS)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_layer_of_other_libraries(library, architecture, expected):
    pytest.importorskip(library)
    model = MODELS[library](10, 3, (64, 64), architecture=architecture)
    assert target_layer(model, torch.randn(1, 3, 96, 96)) == expected


def test_a_pooling_that_enlarges_is_not_taken_for_the_stage():
    """As torchvision's VGG has it: 3x3 maps are spread to 7x7, which is what the stage had."""
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.AdaptiveAvgPool2d(7)
    )
    assert target_layer(model, torch.randn(1, 1, 7, 7)) == "1"


def test_a_name_is_checked():
    model = MODELS["digits_cnn"](10, 1, (8, 8))
    images = torch.randn(1, 1, 8, 8)
    assert target_layer(model, images, "stage1") == "stage1"
    with pytest.raises(UserError, match=r"no layer 'stag1' \(did you mean `stage1`\?\)"):
        target_layer(model, images, "stag1")
    with pytest.raises(UserError, match=r"'head' gives no maps.*stage1, stage2, flatten"):
        target_layer(model, images, "head")
    with pytest.raises(UserError, match="no layer ''"):
        target_layer(model, images, "")
