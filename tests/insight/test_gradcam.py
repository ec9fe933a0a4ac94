"""Grad-CAM against Captum's, and Grad-CAM++ against pytorch-grad-cam's."""

import copy

import pytest
import torch
from torch import nn

from convsmith.errors import UserError
from convsmith.insight.gradcam import grad_cam, grad_cam_plus_plus
from convsmith.insight.target_layer import target_layer
from convsmith.models import MODELS

FAMILIES = {"resnet_small": {"widths": (8, 16, 16, 32)}, "vgg_bn": {"widths": (8, 16, 16)}} | {
    "compact_cnn": {"widths": (8, 16, 16)},
    "torchvision": {"architecture": "squeezenet1_1"},
}


def make(name, side=32):
    """A network with statistics of its own, three images and classes to explain."""
    torch.manual_seed(1)
    model = MODELS[name](5, 3, (side, side), **FAMILIES[name])
    images = torch.randn(3, 3, side, side)
    for _ in range(5):
        model(images)
    return model.eval(), images, torch.tensor([0, 3, 4])


@pytest.mark.parametrize("name", FAMILIES)
def test_maps_are_captums(name):
    captum = pytest.importorskip("captum.attr")
    model, images, targets = make(name, side=64 if name == "torchvision" else 32)
    maps = grad_cam(model, images, targets)
    reference = copy.deepcopy(model)
    for module in reference.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False  # Captum's hook would see what ReLU made of the layer
    layer = reference.get_submodule(target_layer(model, images))
    found = captum.LayerGradCam(reference, layer).attribute(images, targets, relu_attributions=True)
    expected = captum.LayerAttribution.interpolate(found, (images.shape[2:]), "bilinear")[:, 0]
    largest = float(expected.detach().max())
    assert largest > 0
    torch.testing.assert_close(maps, expected.detach(), rtol=1e-4, atol=1e-4 * largest)


@pytest.mark.parametrize("name", ["resnet_small", "vgg_bn"])
@pytest.mark.parametrize(
    ("ours", "theirs"), [(grad_cam, "GradCAM"), (grad_cam_plus_plus, "GradCAMPlusPlus")]
)
def test_maps_are_those_of_pytorch_grad_cam(name, ours, theirs):
    other = pytest.importorskip("pytorch_grad_cam")
    model, images, targets = make(name)
    # It adds 1e-6 to squared gradients, which must be small beside them.
    model.head.weight.data *= 3000
    classes = [torch.full((3,), number) for number in range(5)]
    targets = torch.stack([ours(model, images, each).amax((1, 2)) for each in classes]).argmax(0)
    maps = ours(model, images, targets)
    layer = model.get_submodule(target_layer(model, images))
    classes = [
        other.utils.model_targets.ClassifierOutputTarget(target) for target in targets.tolist()
    ]
    with getattr(other, theirs)(model, [layer]) as method:
        expected = torch.from_numpy(method(images, classes))
    least, most = maps.amin((1, 2), keepdim=True), maps.amax((1, 2), keepdim=True)
    assert most.max() > 0
    scaled = (maps - least) / (most - least + 1e-7)  # as it does
    torch.testing.assert_close(scaled, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("method", [grad_cam, grad_cam_plus_plus])
def test_a_frozen_network_gives_the_same_maps(method):
    model, images, targets = make("resnet_small")
    maps = method(model, images, targets)
    model.requires_grad_(False)
    assert torch.equal(method(model, images, targets), maps)
    assert maps.shape == (3, 32, 32)
    assert maps.min() >= 0


@pytest.mark.parametrize("method", [grad_cam, grad_cam_plus_plus])
def test_flat_maps_are_zeros_and_not_nan(method):
    model, images, targets = make("vgg_bn")
    nn.init.zeros_(model.head.weight)
    assert torch.equal(method(model, images, targets), torch.zeros(3, 32, 32))
    model, images, targets = make("vgg_bn")
    assert method(model, torch.zeros_like(images), targets).isfinite().all()


def test_any_layer_can_be_chosen_and_makes_a_difference():
    model, images, targets = make("resnet_small")
    maps = [grad_cam(model, images, targets, layer) for layer in ("stem", "stage2", "stage4.0")]
    assert not torch.allclose(maps[0], maps[1])
    assert not torch.allclose(maps[1], maps[2])


def test_a_map_lies_where_the_evidence_is():
    """A network that sees only brightness, and a bright corner."""
    model = nn.Sequential(nn.Conv2d(1, 1, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    model[0].weight.data.fill_(1)
    model[0].bias.data.zero_()
    image = torch.zeros(1, 1, 8, 8)
    image[..., :3, 5:] = 2
    maps = grad_cam(model, image, torch.tensor([0]))
    assert torch.equal(maps > 0, image[:, 0] > 0)


def test_a_layer_that_leads_nowhere_is_said():
    class Blind(nn.Module):
        def __init__(self):
            super().__init__()
            self.seen, self.used = nn.Conv2d(1, 2, 3), nn.Conv2d(1, 2, 3)

        def forward(self, x):
            self.seen(x)
            return self.used(x).mean((2, 3))

    with pytest.raises(UserError, match="do not depend on the layer 'seen'"):
        grad_cam(Blind(), torch.randn(1, 1, 6, 6), torch.tensor([0]), "seen")
