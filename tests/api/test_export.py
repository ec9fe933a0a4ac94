"""Exporting a run, from its folder to files that others can use, and checking bundles."""

import json
import shutil
import zipfile

import numpy
import pytest
import torch
from PIL import ExifTags, Image

import convsmith
from convsmith.cli.main import main
from convsmith.data import load_source, own_source
from convsmith.errors import ModelError, RunError, UserError
from convsmith.exporting.graph import Deployed
from convsmith_runtime.bundle import open_bundle
from convsmith_runtime.predict import Predictor


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A short training on digits."""
    runs = tmp_path_factory.mktemp("runs")
    return convsmith.train("digits", epochs=2, runs=runs, progress="none").path


@pytest.fixture(scope="module")
def exported(run):
    return convsmith.export(run, licence="CC0-1.0")


@pytest.fixture
def call(capsys):
    def call(*words):
        with pytest.raises(SystemExit) as exit:
            main([str(word) for word in words])
        return exit.value.code, *capsys.readouterr()

    return call


def test_a_run_becomes_a_bundle_that_does_what_the_run_does(run, exported):
    folder = run / "exports"
    assert exported.files == (folder / "model.convsmith", folder / "model.onnx")
    assert {path.name for path in folder.iterdir()} == {"model.convsmith", "model.onnx"}
    verified = exported.verified
    results = convsmith.open_run(run).results
    assert verified.images == 359
    assert verified.top1 == verified.expected == pytest.approx(results.test.top1)
    assert verified.difference < verified.tolerance
    bundle = open_bundle(folder / "model.convsmith")
    assert bundle.model == (folder / "model.onnx").read_bytes()
    assert bundle.licence == "CC0-1.0"
    assert bundle.network == "digits_cnn"
    assert bundle.metrics["exported"]["top1"] == verified.top1
    assert bundle.metrics["test"]["top1"] == results.test.top1
    assert bundle.recipe == (run / "recipe.yaml").read_text()
    test = load_source("digits", None).test
    logits, _ = Predictor(bundle).run(test.take(slice(None))[0].contiguous().numpy())
    assert (logits.argmax(1) == test.labels.numpy()).mean() == pytest.approx(results.test.top1)


def test_the_network_says_of_itself_what_it_is(run, exported):
    texts = Predictor(open_bundle(exported.files[0])).metadata
    assert json.loads(texts["classes"]) == list("0123456789")
    assert json.loads(texts["preprocessing"]) == {
        "channels": 1,
        "image_size": [8, 8],
        "resize": "stretch",
    }
    assert json.loads(texts["metrics"])["test"]["images"] == 359
    assert texts["licence"] == "CC0-1.0"
    assert texts["recipe"] == (run / "recipe.yaml").read_text()
    with zipfile.ZipFile(exported.files[0]) as archive:
        card = archive.read("card.md").decode()
    assert f"{exported.verified.top1:.2%} of 359 images" in card
    assert "Licence: CC0-1.0" in card


def test_check_replays_a_bundle(exported, call):
    code, out, err = call("check", exported.files[0])
    assert (code, err) == (0, "")
    assert "digits_cnn, 10 classes, licence: CC0-1.0" in out
    assert "golden samples replayed" in out.splitlines()[-1]
    code, out, err = call("check", exported.files[0], "--json")
    found = json.loads(out)
    assert found["replayed"]["problems"] == []
    assert {"model.onnx", "card.md"} < {each["name"] for each in found["members"]}


def test_check_says_in_a_line_what_is_no_bundle(exported, call, tmp_path):
    (tmp_path / "text").write_text("hello")
    code, out, err = call("check", tmp_path / "text")
    assert (code, out) == (2, "")
    assert err == f"convsmith: {tmp_path / 'text'}: is no bundle, or cut off\n"
    data = bytearray(exported.files[0].read_bytes())
    data[len(data) // 2] ^= 1  # in the network
    (tmp_path / "broken").write_bytes(data)
    code, _, err = call("check", tmp_path / "broken")
    assert code == 2
    assert "Bad CRC-32" in err


def test_an_export_that_fails_keeps_what_was_there_and_what_was_made(
    run, exported, call, monkeypatch
):
    before = {path: path.read_bytes() for path in exported.files}
    monkeypatch.setattr(Deployed, "forward", lambda self, pixels: self.network(pixels / 255))
    code, out, err = call("export", run)
    assert code == 1
    assert out == ""
    assert "golden samples differ" in err
    assert "test images differ" in err
    assert before == {path: path.read_bytes() for path in exported.files}
    (draft,) = (run / "exports").glob("unverified-*")
    assert f"does not do what the network of {run} does; it is kept in {draft}:" in err
    open_bundle(draft / "model.convsmith")  # whole, for a look
    shutil.rmtree(draft)


@pytest.mark.parametrize("to", ["pt2", "torchscript", "openvino"])
def test_other_formats_are_verified_too(run, to, tmp_path, call):
    if to == "openvino":
        pytest.importorskip("openvino")
    code, out, err = call("export", run, "--to", to, "--out", tmp_path, "--json")
    assert code == 0
    found = json.loads(out.splitlines()[-1])
    names = {"pt2": ["model.pt2"], "torchscript": ["model.ts"]}
    expected = names.get(to, ["model.xml", "model.bin"])
    assert found["files"] == [str(tmp_path / name) for name in expected]
    assert {path.name for path in tmp_path.iterdir()} == set(expected)
    assert found["verified"]["problems"] == []
    assert found["verified"]["top1"] == found["verified"]["expected"]
    engine = "OpenVINO" if to == "openvino" else "PyTorch"
    assert found["verified"]["engine"].startswith(engine)
    assert ("legacy" in err) == (to == "torchscript")


def test_photographs_go_into_the_bundle_as_they_are(tmp_path, monkeypatch):
    """Files with EXIF tags, of another size than the network's, cropped by its rule."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    draw = numpy.random.default_rng(0)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    for label, colour in (("red", (230, 60, 20)), ("blue", (30, 70, 220))):
        (tmp_path / "photos" / label).mkdir(parents=True)
        for number in range(20):
            noise = draw.normal(0, 30, (20, 26, 3))
            array = (numpy.array(colour) + noise).clip(0, 255).astype(numpy.uint8)
            path = tmp_path / "photos" / label / f"{number}.jpg"
            Image.fromarray(array).save(path, exif=exif if number % 2 else Image.Exif())
    recipe = {
        "data": {
            "source": f"folder:{tmp_path / 'photos'}",
            "image_size": 12,
            "resize": "crop",
            "augment": "none",
        },
        "model": {"name": "resnet_small", "widths": [4, 4, 4, 4]},
        "optimizer": {"name": "adam", "learning_rate": 0.01},
        "train": {"epochs": 2, "batch_size": 16, "precision": "fp32"},
    }
    run = convsmith.train(recipe, runs=tmp_path, progress="none")
    found = convsmith.export(run.path)
    assert found.maps
    bundle = open_bundle(found.files[0])
    assert bundle.preprocessing.resize == "crop"
    files = {path.read_bytes() for path in (tmp_path / "photos").rglob("*.jpg")}
    kept = [golden for golden in bundle.golden if golden.data in files]
    assert len(kept) == 6
    model, predictor = convsmith.load(run.path), Predictor(bundle)
    for path in sorted((tmp_path / "photos").rglob("*.jpg"))[:4]:
        ours, theirs = model.predict(path), predictor.predict(path)
        assert ours.label == theirs.label
        assert theirs.guesses[0].probability == pytest.approx(ours.guesses[0].probability, abs=1e-4)


def test_a_network_and_data_of_ones_own(tmp_path):
    images = torch.randint(0, 256, (60, 3, 8, 8), dtype=torch.uint8)
    labels = torch.arange(60) % 2
    data = own_source((images, labels), (images[:20], labels[:20]), classes=["cat", "dog"])
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 8 * 8, 2))
    run = convsmith.train("digits", model=net, data=data, epochs=1, runs=tmp_path, progress="none")
    with pytest.raises(UserError, match="network of your own: pass it"):
        convsmith.export(run.path)
    found = convsmith.export(run.path, model=net, data=data)
    bundle = open_bundle(found.files[0])
    assert bundle.classes == ("cat", "dog")
    assert bundle.network is None
    assert bundle.graph.maps is None


def test_what_cannot_be_exported_is_said(tmp_path, run, call):
    points = convsmith.train("moons", epochs=1, runs=tmp_path, progress="none")
    code, _, err = call("export", points.path)
    assert code == 2
    assert "takes points, which no image file holds" in err
    with pytest.raises(UserError, match="must be one of onnx, pt2"):
        convsmith.export(run, "caffe")
    with pytest.raises(RunError, match="there is no run"):
        convsmith.export(tmp_path / "none")
    code, _, err = call("export", run, "--to", "caffe")
    assert code == 2


def test_a_network_without_a_graph_leaves_nothing_behind(tmp_path):
    class Odd(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.head = torch.nn.Linear(64, 2)

        def forward(self, x):
            return self.head(x.flatten(1)) if x.sum().item() > -1e9 else x.flatten(1)[:, :2]

    images, labels = torch.randint(0, 256, (60, 1, 8, 8)).byte(), torch.arange(60) % 2
    data = own_source((images, labels), (images[:20], labels[:20]))
    run = convsmith.train(
        "digits", model=Odd(), data=data, epochs=1, runs=tmp_path, progress="none"
    )
    with pytest.raises(ModelError, match=r"torch.export makes no graph of this network: .+"):
        convsmith.export(run.path, model=Odd(), data=data)
    exports = run.path / "exports"
    assert not exports.exists() or list(exports.iterdir()) == []


def test_a_missing_library_is_named_with_its_extra(run, monkeypatch):
    import importlib.util

    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "openvino" else find(name)
    )
    with pytest.raises(UserError, match=r'needs openvino: pip install "convsmith\[openvino\]"'):
        convsmith.export(run, "openvino")
