"""An export that is right passes, and each of the usual mistakes, made for real, fails."""

import dataclasses
import io

import numpy
import onnx
import pytest
from PIL import ExifTags, Image
from tests.exporting.builders import CLASSES, SIZE, case, net, photos

from convsmith.exporting.bundle import write_bundle
from convsmith.exporting.graph import Deployed, Input
from convsmith.exporting.onnx import OPSET, OnnxFile, to_onnx
from convsmith.exporting.verify import verify
from convsmith_runtime.bundle import open_bundle
from convsmith_runtime.predict import Predictor
from convsmith_runtime.replay import replay


@pytest.fixture(scope="module")
def right():
    """A network with its images, one of which is a photograph that was taken upright by EXIF."""
    pixels = photos()
    originals = [None] * len(pixels)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 3
    file = io.BytesIO()
    Image.fromarray(pixels[1].rot90(2, (1, 2)).permute(1, 2, 0).numpy()).save(
        file, "PNG", exif=exif
    )
    originals[1] = file.getvalue()
    return case(originals=originals)


def bundled(made, place, given=None):
    """Write a bundle of a case, perhaps with another input than it should have."""
    given = given or made.given
    model = to_onnx(made.network, given, place / "model.onnx", made.about.texts(given))
    return packed(made, model, place / "model.convsmith")


def packed(made, model, path, about=None):
    write_bundle(
        path,
        about or made.about,
        made.given,
        model,
        made.samples.golden,
        tolerance=1e-3,
        card="# a\n",
    )
    return path


def with_classes(made, good, place, classes):
    """A bundle like the good one, but with other classes, in the ONNX file too."""
    about = dataclasses.replace(made.about, classes=classes)
    model = onnx.load(good.with_name("model.onnx"))
    onnx.helper.set_model_props(model, about.texts(made.given))
    onnx.save(model, place / "model.onnx")
    file = OnnxFile(place / "model.onnx", OPSET, "maps")
    return packed(made, file, place / "model.convsmith", about)


@pytest.fixture(scope="module")
def good(right, tmp_path_factory):
    return bundled(right, tmp_path_factory.mktemp("good"))


def test_a_right_bundle_passes_in_a_process_without_torch(right, good):
    found = verify("onnx", good, right.expected)
    assert found.problems == ()
    assert found.passed
    assert found.engine.startswith("ONNX Runtime")
    assert (found.samples, found.images) == (8, 40)
    assert found.top1 == found.expected == pytest.approx(0.8)
    assert 0 < found.difference < found.tolerance
    assert set(found.per_class) <= set(CLASSES)


def test_the_golden_samples_say_on_their_own_side_and_in_colour(right, good):
    """One is stored on its side, one is an original, and mistakes would show."""
    golden = right.samples.golden
    sizes, tags = [], []
    for each in golden:
        with Image.open(io.BytesIO(each.data)) as image:
            sizes.append(image.size)
            tags.append(image.getexif().get(ExifTags.Base.Orientation, 1))
    assert sizes.count(SIZE) == 1  # Pillow says width first: this one lies on its side
    assert sizes.count(SIZE[::-1]) == 7
    assert sorted(tags) == [1] * 6 + [3, 6]
    tolerance = verify("onnx", good, right.expected).tolerance
    assert set(right.samples.shows) == {"an ignored EXIF tag", "swapped channels"}
    assert min(right.samples.shows.values()) > 10 * tolerance
    assert replay(Predictor(open_bundle(good))).passed


def test_swapped_channels_fail(right, tmp_path, monkeypatch):
    forward = Deployed.forward
    monkeypatch.setattr(Deployed, "forward", lambda self, pixels: forward(self, pixels.flip(1)))
    found = verify("onnx", bundled(right, tmp_path), right.expected)
    assert any("golden samples differ" in each for each in found.problems)
    assert any("test images differ" in each for each in found.problems)


def test_a_wrong_mean_fails(right, tmp_path):
    """By as much as another data set's mean is off."""
    wrong = Input(3, SIZE, (0.485, 0.456, 0.406), right.given.std)
    found = verify("onnx", bundled(right, tmp_path, given=wrong), right.expected)
    assert any("golden samples differ" in each for each in found.problems)


def test_an_ignored_exif_tag_fails(right, good, tmp_path, monkeypatch):
    """The fresh process is one whose Pillow does not turn images."""
    (tmp_path / "sitecustomize.py").write_text(
        "from PIL import ImageOps\nImageOps.exif_transpose = lambda image, **options: image\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    found = verify("onnx", good, right.expected)
    assert len(found.problems) == 1
    assert found.problems[0].startswith("2 of 8 golden samples differ")
    assert found.top1 == found.expected  # the test images are not read from files


def test_permuted_classes_fail(right, good, tmp_path):
    path = with_classes(right, good, tmp_path, (*CLASSES[1:], CLASSES[0]))
    found = verify("onnx", path, right.expected)
    assert any("golden samples differ" in each for each in found.problems)
    assert any("top-1 is" in each for each in found.problems)


def test_classes_of_other_names_fail(right, good, tmp_path):
    path = with_classes(right, good, tmp_path, (*CLASSES[:3], "other"))
    found = verify("onnx", path, right.expected)
    assert found.problems == ("its classes are not those of the training",)


def test_classes_that_differ_between_bundle_and_network_fail(right, good, tmp_path):
    """The manifest alone was changed."""
    about = dataclasses.replace(right.about, classes=CLASSES[::-1])
    file = OnnxFile(good.with_name("model.onnx"), OPSET, "maps")
    path = packed(right, file, tmp_path / "model.convsmith", about)
    (problem,) = verify("onnx", path, right.expected).problems
    assert "not those of the bundle" in problem


def test_a_process_that_has_torch_all_the_same_fails(right, good, tmp_path, monkeypatch):
    (tmp_path / "torch.py").write_text("")
    (tmp_path / "sitecustomize.py").write_text("import torch\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert verify("onnx", good, right.expected).problems == ("it needs torch",)


def test_a_file_that_cannot_be_run_fails_in_a_line(right, tmp_path):
    (tmp_path / "model.convsmith").write_bytes(b"no")
    (problem,) = verify("onnx", tmp_path / "model.convsmith", right.expected).problems
    assert "cannot be run" in problem
    assert "no bundle" in problem


def test_weaker_answers_fail_though_no_logit_is_far_off(right, good):
    """The tolerance of int8 is wide; right answers count."""
    logits = right.expected.logits.copy()
    logits[:, 0] -= 0.2 * abs(logits).max()
    wanted = dataclasses.replace(right.expected, logits=logits, labels=logits.argmax(1))
    (problem,) = verify("onnx", good, wanted, "int8").problems
    assert problem.startswith("top-1 is ")
    assert problem.endswith("the training's evaluation gives 100.00%")


def test_nan_fails(right, good, tmp_path):
    model = onnx.load(good.with_name("model.onnx"))
    weights = next(each for each in model.graph.initializer if each.name.endswith("8.weight"))
    values = onnx.numpy_helper.to_array(weights).copy()
    values[2] = numpy.nan
    weights.CopyFrom(onnx.numpy_helper.from_array(values, weights.name))
    onnx.save(model, tmp_path / "model.onnx")
    file = OnnxFile(tmp_path / "model.onnx", OPSET, "maps")
    found = verify("onnx", packed(right, file, tmp_path / "b.convsmith"), right.expected)
    assert len(found.problems) >= 2
    assert numpy.isnan(found.difference)


def test_a_grey_network_has_no_colours_to_show(tmp_path):
    """Images of one channel: seven samples, one of them on its side."""
    made = case(net(1), pixels=photos(channels=1))
    assert len(made.samples.golden) == 7
    assert set(made.samples.shows) == {"an ignored EXIF tag"}


def test_grey_photographs_of_a_colour_network_get_a_tinted_one():
    grey = photos(channels=1).expand(-1, 3, -1, -1).contiguous()
    made = case(pixels=grey)
    assert made.samples.golden[-1].label is None
    assert made.samples.shows["swapped channels"] > 0.01
