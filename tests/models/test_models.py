"""Networks: their published sizes, what fits, and torchvision's own."""

from itertools import pairwise

import pytest
import torch
import torchvision
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from convsmith.errors import ModelError
from convsmith.models import MODELS
from convsmith.nn.norm import GhostBatchNorm1d, GhostBatchNorm2d

OURS = [name for name in MODELS if name not in ("timm", "torchvision")]

PUBLISHED = {
    "digits_cnn": (1, 8, 10, 67_754),
    "mnist_cnn": (1, 28, 10, 184_586),
    "mnist_bn": (1, 28, 10, 391_370),
    "compact_cnn": (3, 32, 10, 2_473_610),
    "vgg_bn": (3, 32, 10, 3_841_610),
    "resnet_small": (3, 32, 100, 11_220_132),
    "resnet_wide3": (3, 32, 100, 11_072_164),
}
SMALLEST = {"digits_cnn": 4, "mnist_cnn": 16, "mnist_bn": 8, "compact_cnn": 8, "vgg_bn": 8}


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_are_those_published(name):
    channels, size, classes, parameters = PUBLISHED[name]
    model = MODELS[name](classes, channels, (size, size))
    assert sum(p.numel() for p in model.parameters()) == parameters


@pytest.mark.parametrize(("name", "gmac"), [("resnet_small", 0.555), ("resnet_wide3", 1.612)])
def test_multiply_adds_are_those_published(name, gmac):
    model = MODELS[name](100, 3, (32, 32)).eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.zeros(1, 3, 32, 32))
    assert counter.get_total_flops() / 2 / 1e9 == pytest.approx(gmac, abs=5e-4)


@pytest.mark.parametrize("size", [(16, 16), (33, 21)])
@pytest.mark.parametrize("name", OURS)
def test_channels_size_and_classes_are_arguments(name, size):
    model = MODELS[name](7, 2, size).eval()
    with torch.no_grad():
        assert model(torch.randn(3, 2, *size)).shape == (3, 7)


@pytest.mark.parametrize(("name", "smallest"), SMALLEST.items())
def test_an_image_that_is_too_small_is_told_the_smallest_that_is_not(name, smallest):
    model = MODELS[name](3, 1, (smallest, smallest)).eval()
    assert model(torch.zeros(1, 1, smallest, smallest)).shape == (1, 3)
    for size in ((smallest - 1, smallest), (smallest, smallest - 1)):
        with pytest.raises(ModelError, match=f"at least {smallest}x{smallest}"):
            MODELS[name](3, 1, size)


@pytest.mark.parametrize("name", ["resnet_small", "resnet_wide3", "mlp"])
def test_the_others_take_a_single_pixel(name):
    model = MODELS[name](3, 1, (1, 1)).eval()
    assert model(torch.zeros(2, 1, 1, 1)).shape == (2, 3)


@pytest.mark.parametrize("name", OURS)
def test_bf16_and_channels_last_train(name):
    model = MODELS[name](4, 3, (16, 16)).to(memory_format=torch.channels_last)
    images = torch.randn(4, 3, 16, 16).to(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(images)
    nn.functional.cross_entropy(logits.float(), torch.arange(4)).backward()
    for parameter_name, parameter in model.named_parameters():
        assert torch.isfinite(parameter.grad).all(), parameter_name
        assert parameter.dtype == torch.float32


@pytest.mark.parametrize("name", OURS)
def test_layouts_agree(name):
    model = MODELS[name](4, 3, (16, 16)).eval()
    images = torch.randn(2, 3, 16, 16)
    with torch.no_grad():
        plain = model(images)
        last = model.to(memory_format=torch.channels_last)(
            images.contiguous(memory_format=torch.channels_last)
        )
    torch.testing.assert_close(plain, last, rtol=1e-4, atol=1e-4)


def test_resnet_small_computes_what_torchvisions_resnet18_does_with_a_small_stem():
    ours = MODELS["resnet_small"](100, 3, (32, 32)).eval()
    theirs = torchvision.models.resnet18(num_classes=100).eval()
    theirs.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
    theirs.maxpool = nn.Identity()
    for mine, other in zip(ours.state_dict().values(), theirs.state_dict().values(), strict=True):
        other.copy_(mine)
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(ours(images), theirs(images), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", OURS)
def test_dropout_is_where_it_is_asked_for_and_off_in_evaluation(name):
    torch.manual_seed(0)
    options = {"block_dropout": 0.5} if name == "resnet_wide3" else {}
    model = MODELS[name](4, 1, (16, 16), dropout=0.5, **options)
    images = torch.randn(8, 1, 16, 16)
    assert not torch.equal(model(images), model(images))
    model.eval()
    assert torch.equal(model(images), model(images))


def test_resnet_wide3_drops_whole_channels_between_its_convolutions():
    model = MODELS["resnet_wide3"](4, 1, (16, 16), block_dropout=0.5)
    seen = []
    model.stage1[0].dropout.register_forward_hook(lambda _, __, out: seen.append(out))
    model(torch.rand(8, 1, 16, 16))
    dead = (seen[0] == 0).all(dim=(2, 3))
    assert 0.3 < dead.double().mean() < 0.8


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_published_size_is_what_the_documentation_says(name):
    assert f"{PUBLISHED[name][3]:,} parameters" in " ".join(MODELS[name].__doc__.split())


@pytest.mark.parametrize(
    ("size", "channels", "classes"), [((16, 40), 1, 2), ((31, 16), 4, 11), ((17, 17), 1, 11)]
)
@pytest.mark.parametrize("name", OURS)
def test_every_size_from_the_smallest_gives_a_logit_a_class(name, size, classes, channels):
    model = MODELS[name](classes, channels, size).eval()
    with torch.no_grad():
        logits = model(torch.randn(2, channels, *size))
    assert logits.shape == (2, classes)
    assert torch.isfinite(logits).all()


@pytest.mark.parametrize(("name", "smallest"), SMALLEST.items())
@pytest.mark.parametrize("more", [1, 4, 7, 8])
def test_each_pixel_above_the_smallest_size_works_on_either_side(name, smallest, more):
    for size in ((smallest + more, smallest), (smallest, smallest + more)):
        model = MODELS[name](2, 1, size).eval()
        assert model(torch.zeros(1, 1, *size)).shape == (1, 2)


@pytest.mark.parametrize(("name", "smallest"), SMALLEST.items())
def test_the_smallest_image_trains(name, smallest):
    model = MODELS[name](3, 1, (smallest, smallest))
    logits = model(torch.randn(4, 1, smallest, smallest))
    nn.functional.cross_entropy(logits, torch.tensor([0, 1, 2, 0])).backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())


@pytest.mark.parametrize("name", SMALLEST)
def test_the_refusal_names_the_network_and_what_it_was_given(name):
    with pytest.raises(ModelError, match=rf"{name} needs .* pixels, not 3x99$"):
        MODELS[name](3, 1, (3, 99))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("name", PUBLISHED)
def test_logits_and_gradients_are_finite_at_the_published_size(name, layout):
    channels, size, classes, _ = PUBLISHED[name]
    model = MODELS[name](classes, channels, (size, size)).to(memory_format=layout)
    images = torch.randn(2, channels, size, size).to(memory_format=layout)
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(images)
    assert logits.dtype == torch.bfloat16
    assert torch.isfinite(logits).all()
    nn.functional.cross_entropy(logits.float(), torch.tensor([0, 1])).backward()
    for parameter_name, parameter in model.named_parameters():
        assert torch.isfinite(parameter.grad).all(), parameter_name


def test_resnet_small_trains_as_torchvisions_does():
    """Gradients and running statistics, with batch normalisation at work."""
    ours = MODELS["resnet_small"](10, 3, (16, 16))
    theirs = torchvision.models.resnet18(num_classes=10)
    theirs.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
    theirs.maxpool = nn.Identity()
    for mine, other in zip(ours.state_dict().values(), theirs.state_dict().values(), strict=True):
        other.copy_(mine)
    images, labels = torch.randn(8, 3, 16, 16), torch.arange(8)
    for model in (ours, theirs):
        nn.functional.cross_entropy(model(images), labels).backward()
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, other.grad, rtol=1e-3, atol=1e-4)
    for mine, other in zip(ours.buffers(), theirs.buffers(), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-5)


def test_filters_of_the_residual_networks_start_as_he_proposed():
    for name in ("resnet_small", "resnet_wide3"):
        for module in MODELS[name](10, 3, (32, 32)).modules():
            if isinstance(module, nn.Conv2d):
                fan_out = module.out_channels * module.kernel_size[0] * module.kernel_size[1]
                expected = (2 / fan_out) ** 0.5
                assert module.weight.std().item() == pytest.approx(expected, rel=0.06)


@pytest.mark.parametrize("name", OURS)
def test_equal_seeds_make_equal_networks(name):
    states = []
    for seed in (5, 5, 6):
        torch.manual_seed(seed)
        states.append(torch.cat([p.flatten() for p in MODELS[name](3, 1, (16, 16)).parameters()]))
    assert torch.equal(states[0], states[1])
    assert not torch.equal(states[0], states[2])


def test_an_mlp_has_the_layers_that_it_is_given():
    for widths in ((), (5,), (7, 6, 5)):
        model = MODELS["mlp"](3, 2, (4, 5), widths=widths)
        sides = [40, *widths, 3]
        shapes = [p.shape for p in model.parameters() if p.ndim == 2]
        assert shapes == [(out, into) for into, out in pairwise(sides)]


NARROW = {
    "digits_cnn": {"widths": (8, 16)},
    "mnist_bn": {"widths": (8, 16, 32), "hidden": 64},
    "vgg_bn": {"widths": (8, 16, 32), "hidden": 64},
    "resnet_small": {"widths": (8, 8, 16, 16)},
    "resnet_wide3": {"stem": 8, "widths": (16, 16, 32), "block_dropout": 0.0},
}
KINDS = ("batch", "group", "ghost")


def narrow(name, norm):
    """A network of few channels without dropout, in double precision; always the same weights."""
    torch.manual_seed(0)
    return MODELS[name](4, 3, (16, 16), dropout=0.0, norm=norm, **NARROW[name]).double()


def seen(count):
    """Images and labels, always the same."""
    draw = torch.Generator().manual_seed(1)
    images = torch.randn(count, 3, 16, 16, dtype=torch.float64, generator=draw)
    return images, torch.randint(4, (count,), generator=draw)


def backward(model, images, labels, parts=1):
    """The mean loss and its gradient by parts of the batch, as a training step makes them."""
    total = 0.0
    for inputs, targets in zip(images.chunk(parts), labels.chunk(parts), strict=True):
        loss = nn.functional.cross_entropy(model(inputs), targets, reduction="sum") / len(labels)
        loss.backward()
        total += loss.item()
    return total


def gradient(model):
    return torch.cat([p.grad.flatten() for p in model.parameters()])


def test_every_network_with_normalisation_has_the_option():
    batch_norm = nn.modules.batchnorm._BatchNorm
    for name in OURS:
        modules = MODELS[name](3, 1, (16, 16)).modules()
        assert (name in NARROW) == any(isinstance(module, batch_norm) for module in modules)


@pytest.mark.parametrize("name", NARROW)
def test_the_option_replaces_every_normalisation_and_nothing_else(name):
    allowed = {
        "batch": (nn.BatchNorm1d, nn.BatchNorm2d),
        "group": (nn.GroupNorm,),
        "ghost": (GhostBatchNorm1d, GhostBatchNorm2d),
    }
    plain = narrow(name, "batch")
    for kind in KINDS:
        model = narrow(name, kind)
        for mine, other in zip(model.modules(), plain.modules(), strict=True):
            if type(other) in allowed["batch"]:
                assert type(mine) in allowed[kind]
            else:
                assert type(mine) is type(other)
        weights, expected = dict(model.named_parameters()), dict(plain.named_parameters())
        assert weights.keys() == expected.keys()
        assert all(torch.equal(weights[each], expected[each]) for each in expected)
    assert list(narrow(name, "ghost").state_dict()) == list(plain.state_dict())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", NARROW)
def test_a_step_lowers_the_loss_with_every_normalisation(name, kind):
    model, (images, labels) = narrow(name, kind), seen(40)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    before = backward(model, images, labels)
    for parameter_name, parameter in model.named_parameters():
        assert torch.isfinite(parameter.grad).all(), parameter_name
    optimizer.step()
    assert backward(model, images, labels) < before
    assert model.eval()(images[:1]).shape == (1, 4)


@pytest.mark.parametrize(
    ("kind", "parts", "equal"),
    [("group", 8, True), ("batch", 8, False), ("ghost", 2, True)],
)
@pytest.mark.parametrize("name", NARROW)
def test_micro_batches_give_the_gradient_of_the_whole_batch_but_for_batch_norm(
    name, kind, parts, equal
):
    """Micro-batches of whole ghost batches change nothing either."""
    whole, split, (images, labels) = narrow(name, kind), narrow(name, kind), seen(64)
    backward(whole, images, labels)
    backward(split, images, labels, parts)
    distance = (gradient(whole) - gradient(split)).norm() / gradient(whole).norm()
    assert (distance < 1e-10) if equal else (distance > 1e-2)
    for mine, other in zip(whole.buffers(), split.buffers(), strict=True):
        assert torch.allclose(mine.double(), other.double(), rtol=1e-10) == equal


@pytest.mark.parametrize("kind", ["group", "ghost"])
@pytest.mark.parametrize("name", NARROW)
def test_every_normalisation_trains_in_bf16_and_channels_last(name, kind):
    model = narrow(name, kind).float().to(memory_format=torch.channels_last)
    images, labels = seen(40)
    images = images.float().contiguous(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(images)
    nn.functional.cross_entropy(logits.float(), labels).backward()
    assert torch.isfinite(gradient(model)).all()
