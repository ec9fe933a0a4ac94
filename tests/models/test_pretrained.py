"""Networks of torchvision and timm: by name, with a new head, and their weights from files."""

import os
import pickle
import random
from contextlib import suppress

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torchvision.models import resnet18, resnet34

from convsmith.errors import ModelError
from convsmith.models import MODELS
from convsmith.models.pretrained import architectures, hub_weights, preprocessing
from convsmith.models.weights import head_of, load_backbone, read_weights_file


@pytest.mark.parametrize(
    ("library", "architecture"),
    [
        ("torchvision", "resnet18"),
        ("torchvision", "mobilenet_v3_small"),
        ("torchvision", "squeezenet1_1"),
        ("torchvision", "googlenet"),
        ("torchvision", "vit_b_16"),
        ("timm", "resnet18"),
        ("timm", "mobilenetv3_small_050"),
    ],
)
def test_a_network_has_a_new_head_for_the_classes(library, architecture):
    model = MODELS[library](7, 3, (64, 64), architecture=architecture)
    assert model.train()(torch.randn(2, 3, 64, 64)).shape == (2, 7)
    head = model.get_submodule(head_of(model))
    assert 7 in (getattr(head, "out_features", None), getattr(head, "out_channels", None))


def test_timm_takes_any_number_of_channels_torchvision_three():
    model = MODELS["timm"](2, 1, (32, 32), architecture="resnet18")
    assert model(torch.randn(2, 1, 32, 32)).shape == (2, 2)
    with pytest.raises(ModelError, match=r"takes 3 channels.*data\.channels=3"):
        MODELS["torchvision"](2, 1, (32, 32), architecture="resnet18")


@pytest.mark.parametrize("library", ["torchvision", "timm"])
def test_a_wrong_name_is_said_with_the_nearest(library):
    with pytest.raises(ModelError, match="did you mean `resnet18`"):
        MODELS[library](2, 3, (32, 32), architecture="resnet188")
    assert "resnet50" in architectures(library)


def test_a_missing_library_says_what_brings_it(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ModelError, match=r"pip install \"convsmith\[timm\]\""):
        architectures("timm")


def test_preprocessing_is_that_of_the_published_weights():
    for library in ("torchvision", "timm"):
        found = preprocessing(library, "resnet18")
        assert found.image_size == (224, 224)
        assert found.mean == (0.485, 0.456, 0.406)
        assert found.std == (0.229, 0.224, 0.225)
    assert preprocessing("timm", "vit_base_patch16_224").mean == (0.5, 0.5, 0.5)


def test_without_a_network_the_manual_way_is_said(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("torch.hub.urlopen", offline)
    with pytest.raises(ModelError, match=r"cannot be downloaded.*get https://.*transfer\.weights"):
        hub_weights("torchvision", "resnet18")


def offline(*arguments, **options):
    raise OSError("no route to host")


@pytest.fixture
def theirs():
    """A network with other classes."""
    return resnet18(num_classes=5)


@pytest.mark.parametrize("kind", ["safetensors", "plain", "checkpoint", "parallel"])
def test_a_backbone_comes_from_a_file_and_the_head_stays(tmp_path, theirs, kind):
    tensors = theirs.state_dict()
    path = tmp_path / ("w.safetensors" if kind == "safetensors" else "w.pth")
    if kind == "safetensors":
        save_file(tensors, path)
    elif kind == "parallel":
        torch.save({f"module.{name}": tensor for name, tensor in tensors.items()}, path)
    else:
        torch.save(tensors if kind == "plain" else {"epoch": 3, "model": tensors}, path)
    model = MODELS["torchvision"](3, 3, (32, 32), architecture="resnet18")
    head = model.fc.weight.clone()
    load_backbone(model, read_weights_file(path), "w")
    for name, tensor in model.state_dict().items():
        if not name.startswith("fc."):
            assert torch.equal(tensor, tensors[name]), name
    assert torch.equal(model.fc.weight, head)


def test_weights_of_another_network_are_refused_and_nothing_is_copied(theirs):
    model = MODELS["torchvision"](3, 3, (32, 32), architecture="resnet34")
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(ModelError, match=r"is of another network: \d+ of \d+ tensors fit; `layer1"):
        load_backbone(model, theirs.state_dict(), "resnet18.pth")
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name])


class Harm:
    """Would write a file when unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_a_file_with_code_in_it_is_refused_and_not_run(tmp_path):
    torch.save({"model": Harm(tmp_path / "harm")}, tmp_path / "w.pth")
    with pytest.raises(ModelError, match="could run code"):
        read_weights_file(tmp_path / "w.pth")
    assert not (tmp_path / "harm").exists()


class Command:
    """What PyTorch's reader blocks by its module, in other words than a class it does not know."""

    def __reduce__(self):
        return (os.system, ("false",))


def test_a_command_in_a_file_is_said_to_be_one_without_a_warning(tmp_path, recwarn):
    torch.save({"model": Command()}, tmp_path / "w.pth")
    (tmp_path / "w.pkl").write_bytes(pickle.dumps(Command()))
    for name, said in (("w.pth", "could run code"), ("w.pkl", "damaged or something else")):
        with pytest.raises(ModelError, match=said):
            read_weights_file(tmp_path / name)
    assert not list(recwarn)


def test_a_file_cut_short_is_said_to_be_damaged(tmp_path):
    torch.save({"a": torch.ones(1000)}, tmp_path / "w.pth")
    whole = (tmp_path / "w.pth").read_bytes()
    (tmp_path / "w.pth").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelError, match="it is damaged or something else"):
        read_weights_file(tmp_path / "w.pth")


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
@pytest.mark.parametrize("content", [None, b"", b"nonsense", b"PK\x03\x04 cut"])
def test_files_of_no_use_are_said_in_a_line(tmp_path, name, content):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ModelError) as error:
        read_weights_file(tmp_path / name)
    assert name in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("value", [[1, 2], {"a": 1}, torch.ones(2), {"model": {}}])
def test_files_without_named_tensors_are_said(tmp_path, value):
    torch.save(value, tmp_path / "w.pth")
    with pytest.raises(ModelError, match="holds no"):
        read_weights_file(tmp_path / "w.pth")


def test_the_head_is_the_last_layer():
    assert head_of(resnet18()) == "fc"
    assert head_of(nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Linear(3, 4), nn.ReLU())) == "2"
    with pytest.raises(ModelError, match="no layer"):
        head_of(nn.Sequential(nn.ReLU()))
    two = MODELS["timm"](3, 3, (224, 224), architecture="deit_tiny_distilled_patch16_224")
    with pytest.raises(ModelError, match="several heads"):
        head_of(two)


def test_files_of_random_bytes_are_said_and_not_blamed_for_code(tmp_path):
    draw = random.Random(0)
    for _ in range(50):
        (tmp_path / "w.pth").write_bytes(draw.randbytes(300))
        with pytest.raises(ModelError, match=r"w\.pth cannot be read as weights"):
            read_weights_file(tmp_path / "w.pth")


def test_a_damaged_file_is_read_or_said(tmp_path):
    torch.save({"a": torch.ones(100)}, tmp_path / "w.pth")
    whole, draw = (tmp_path / "w.pth").read_bytes(), random.Random(0)
    read = 0
    for at in range(0, 400, 2):
        (tmp_path / "w.pth").write_bytes(whole[:at] + draw.randbytes(3) + whole[at + 3 :])
        with suppress(ModelError):
            read_weights_file(tmp_path / "w.pth")
            read += 1
    assert read < 150


@pytest.mark.parametrize("change", ["int", "meta"])
def test_tensors_without_numbers_that_fit_are_refused(theirs, change):
    tensors = {
        name: each.int() if change == "int" else each.to("meta")
        for name, each in theirs.state_dict().items()
    }
    model = MODELS["torchvision"](3, 3, (32, 32), architecture="resnet18")
    said = "int32" if change == "int" else "without values"
    with pytest.raises(ModelError, match=rf"should be .* float32 and is .*{said}"):
        load_backbone(model, tensors, "w.safetensors")


def test_weights_that_are_not_finite_are_refused_before_the_training(theirs):
    tensors = {name: each.clone() for name, each in theirs.state_dict().items()}
    tensors["layer1.0.bn1.running_var"][3] = torch.inf
    model = MODELS["torchvision"](3, 3, (32, 32), architecture="resnet18")
    with pytest.raises(
        ModelError, match=r"NaN or infinity, first in `layer1\.0\.bn1\.running_var`"
    ):
        load_backbone(model, tensors, "w.safetensors")


def test_a_count_of_batches_of_another_shape_is_passed_over(theirs):
    tensors = theirs.state_dict() | {"bn1.num_batches_tracked": torch.ones(1, 3)}
    model = MODELS["torchvision"](3, 3, (32, 32), architecture="resnet18")
    assert load_backbone(model, tensors, "w.safetensors") == []
    assert int(model.bn1.num_batches_tracked) == 0


def test_what_is_left_over_is_told():
    larger = resnet34()
    model = MODELS["torchvision"](3, 3, (32, 32), architecture="resnet18")
    left = load_backbone(model, larger.state_dict(), "resnet34.pth")
    assert len(left) == len(larger.state_dict()) - len(model.state_dict())
    assert left[0].startswith("layer1.2.")
    assert load_backbone(model, resnet18().state_dict(), "resnet18.pth") == []


def test_a_network_that_cannot_be_built_for_a_size_is_said():
    with pytest.raises(ModelError, match=r"vit_b_16 cannot be built for images of 20x20: Input"):
        MODELS["torchvision"](3, 3, (20, 20), architecture="vit_b_16")


def test_offline_nothing_is_asked_for_and_what_is_kept_is_read(monkeypatch, tmp_path, capsys):
    def asked(*arguments, **options):
        raise AssertionError("the network was used")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("CONVSMITH_OFFLINE", "1")
    monkeypatch.setattr("torch.hub.urlopen", asked)
    with pytest.raises(ModelError, match=r"cannot be downloaded \(CONVSMITH_OFFLINE is set\)"):
        hub_weights("torchvision", "resnet18")
    kept = tmp_path / "hub" / "checkpoints" / "resnet18-f37072fd.pth"
    kept.parent.mkdir(parents=True)
    whole = resnet18()
    torch.save(whole.state_dict(), kept)
    found = hub_weights("torchvision", "resnet18")
    assert torch.equal(found["fc.weight"], whole.fc.weight)


@pytest.mark.parametrize("name", ["resnet18", "gcvit_tiny"])  # of its hub, and of an address
def test_offline_timm_does_not_ask_either(monkeypatch, tmp_path, name):
    pytest.importorskip("timm")
    asked = []

    def look_up(*arguments, **options):
        asked.append(arguments)
        raise OSError("no network here")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("CONVSMITH_OFFLINE", "1")
    monkeypatch.setattr("socket.getaddrinfo", look_up)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ModelError, match="cannot be downloaded"):
        hub_weights("timm", name)
    assert not asked
