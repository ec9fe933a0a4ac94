"""Every family of networks becomes ONNX and pt2, for any number of images, and stays as it was."""

import json
import warnings

import numpy
import onnx
import onnxruntime
import pytest
import torch
from tests.exporting.builders import unchanged

from convsmith.errors import ModelError
from convsmith.exporting.graph import Input, to_program
from convsmith.exporting.onnx import OPSET, program_to_onnx, to_onnx
from convsmith.exporting.pt2 import TEXTS, program_to_pt2
from convsmith.models import MODELS
from convsmith_runtime.onnx_file import require_harmless

FAMILIES = {  # name -> (channels, side, options, whether its head has class activation maps)
    "compact_cnn": (3, 16, {"widths": (4, 4, 8), "hidden": 16}, False),
    "digits_cnn": (1, 8, {"widths": (4, 8), "norm": "ghost"}, False),
    "mlp": (1, 8, {"widths": (16,)}, False),
    "mnist_bn": (1, 16, {"widths": (4, 4, 8), "hidden": 16}, False),
    "mnist_cnn": (1, 16, {"widths": (4, 8), "hidden": 16}, False),
    "resnet_small": (3, 16, {"widths": (4, 4, 8, 8), "norm": "group"}, True),
    "resnet_wide3": (3, 16, {"stem": 4, "widths": (4, 8, 8)}, True),
    "timm": (3, 32, {"architecture": "test_resnet"}, True),
    "torchvision": (3, 32, {"architecture": "resnet18"}, True),
    "vgg_bn": (3, 16, {"widths": (4, 4, 8), "hidden": 16}, False),
}


def made(family):
    """A network of a family with weights and statistics as after a training."""
    channels, side, options, maps = FAMILIES[family]
    torch.manual_seed(0)
    network = MODELS[family](5, channels, (side, side), **options)
    for module in network.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.running_mean.uniform_(-0.5, 0.5)
            module.running_var.uniform_(0.5, 2)
    given = Input(channels, (side, side), (0.4, 0.5, 0.6)[:channels], (0.2, 0.3, 0.25)[:channels])
    return network.train(), given, maps


def evaluated(network, given, pixels):
    """What evaluation gives, by the definition of normalisation."""
    mean, std = (torch.tensor(each).view(-1, 1, 1) for each in (given.mean, given.std))
    modes = {name: module.training for name, module in network.named_modules()}
    network.eval()
    with torch.no_grad():
        logits = network((pixels / 255 - mean) / std)
    for name, module in network.named_modules():
        module.training = modes[name]
    return logits.numpy()


def test_all_families_are_here():
    assert set(FAMILIES) == set(MODELS)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_becomes_onnx_and_pt2(family, tmp_path):
    network, given, has_maps = made(family)
    with unchanged(network):
        program = to_program(network, given)
    texts = {"classes": json.dumps(list("abcde"))}
    file = program_to_onnx(program, tmp_path / "model.onnx", texts)
    program_to_pt2(program, tmp_path / "model.pt2", texts)
    content = (tmp_path / "model.onnx").read_bytes()
    require_harmless(content)
    assert str(tmp_path.parent).encode() not in content  # no source file, no path
    assert b"site-packages" not in content
    session = onnxruntime.InferenceSession(content)
    extra = {TEXTS: ""}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        module = torch.export.load(tmp_path / "model.pt2", extra_files=extra).module()
    assert json.loads(extra[TEXTS]) == texts == session.get_modelmeta().custom_metadata_map
    for count in (1, 2, 7):
        pixels = torch.randint(0, 256, (count, given.channels, *given.image_size)).byte()
        expected = evaluated(network, given, pixels)
        scale = max(1, abs(expected).max())
        assert abs(module(pixels).detach().numpy() - expected).max() < 1e-4 * scale
        logits, *maps = session.run(None, {"input": pixels.numpy()})
        assert abs(logits - expected).max() < 1e-4 * scale
        assert len(maps) == has_maps == (file.maps == "maps")
        if maps:  # their mean, and the head's bias, are the logits
            bias = logits - maps[0].mean((2, 3))
            assert maps[0].shape[:2] == (count, 5)
            assert abs(bias - bias[:1]).max() < 1e-4 * max(scale, abs(maps[0]).max())


def test_the_names_the_axis_and_the_opset_are_as_promised(tmp_path):
    network, given, _ = made("resnet_wide3")
    file = program_to_onnx(to_program(network, given), tmp_path / "model.onnx")
    model = onnx.load(file.path)
    onnx.checker.check_model(model, full_check=True)
    assert [each.version for each in model.opset_import] == [OPSET] == [file.opset]
    named = {each.name: each.type.tensor_type for each in (*model.graph.input, *model.graph.output)}
    assert list(named) == ["input", "output", "maps"]
    assert named["input"].elem_type == onnx.TensorProto.UINT8
    assert {each.shape.dim[0].dim_param for each in named.values()} == {"batch_size"}
    assert numpy.array([d.dim_value for d in named["input"].shape.dim[1:]]).tolist() == [3, 16, 16]


def test_what_onnx_has_not_is_said_in_a_line(tmp_path):
    class Bessel(torch.nn.Module):
        def forward(self, x):
            return torch.special.bessel_j0(x.flatten(1))

    with pytest.raises(ModelError, match=r"cannot become ONNX: .*bessel_j0") as caught:
        to_onnx(Bessel(), Input(1, (3, 3), (0.5,), (0.5,)), tmp_path / "model.onnx")
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []
