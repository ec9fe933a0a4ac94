"""Predicting from a bundle, against NumPy."""

import io
import threading

import numpy
import pytest
from onnx import helper
from PIL import ExifTags, Image
from tests.runtime.builders import (
    CLASSES,
    SIZE,
    contents,
    expected,
    manifest,
    network,
    pack,
    picture,
    weights,
)

from convsmith_runtime.bundle import open_bundle
from convsmith_runtime.errors import BundleError, ImageError
from convsmith_runtime.predict import Predictor, probabilities
from convsmith_runtime.replay import replay


@pytest.fixture(scope="module")
def predictor(tmp_path_factory):
    path = pack(tmp_path_factory.mktemp("bundle") / "tiny.convsmith", contents())
    return Predictor(open_bundle(path), threads=1)


def test_logits_and_maps_are_those_of_the_network(predictor):
    pixels = numpy.stack([picture(seed)[0] for seed in range(5)])
    logits, maps = predictor.run(pixels)
    assert logits.dtype == maps.dtype == numpy.float32
    assert logits == pytest.approx(expected(pixels), abs=1e-4)
    assert maps.shape == (5, len(CLASSES), *SIZE)
    assert maps.mean((2, 3)) + weights()[1] == pytest.approx(logits, abs=1e-4)


def test_a_network_that_fails_says_so_in_a_line(predictor, monkeypatch):
    class Broken:
        def run(self, names, given):
            raise RuntimeError("no memory\nand more")

    monkeypatch.setattr(predictor, "_session", Broken())
    pixels = numpy.stack([picture(seed)[0] for seed in range(2)])
    with pytest.raises(BundleError, match=r"the network fails on 2 images at once: no memory$"):
        predictor.run(pixels)


def test_a_file_an_open_file_and_an_image_give_the_same_guesses(predictor, tmp_path):
    pixels, data = picture(3)
    (tmp_path / "3.png").write_bytes(data)
    image = Image.fromarray(pixels.transpose(1, 2, 0))
    given = [tmp_path / "3.png", str(tmp_path / "3.png"), io.BytesIO(data), image]
    found = [predictor.predict(each, top=3) for each in given]
    assert found[0].image == str(tmp_path / "3.png")
    assert found[2].image == "image"
    assert len({each.guesses for each in found}) == 1
    order = numpy.argsort(-expected(pixels[None])[0])
    assert [guess.label for guess in found[0].guesses] == [CLASSES[i] for i in order[:3]]
    assert found[0].label == CLASSES[order[0]]
    everything = predictor.predict(image, top=100).guesses
    assert len(everything) == len(CLASSES)
    assert sum(guess.probability for guess in everything) == pytest.approx(1)


def test_images_are_read_as_training_reads_them(predictor):
    """Upright, and resized as the bundle says."""
    pixels, _ = picture(1)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    file = io.BytesIO()
    Image.fromarray(numpy.rot90(pixels.transpose(1, 2, 0))).save(file, "PNG", exif=exif)
    assert (predictor.read(file) == pixels).all()
    larger = Image.new("RGB", (50, 60), "red")
    assert predictor.read(larger).shape == (3, *SIZE)


@pytest.mark.parametrize(
    "pixels",
    [
        numpy.zeros((1, 3, 6, 6), numpy.uint8),
        numpy.zeros((3, 6, 5), numpy.uint8),
        numpy.zeros((1, 1, 6, 5), numpy.uint8),
        numpy.zeros((0, 3, 6, 5), numpy.uint8),
        numpy.zeros((1, 3, 6, 5), numpy.float32),
    ],
)
def test_what_the_network_does_not_take_is_said(predictor, pixels):
    with pytest.raises(ImageError, match=r"uint8 images of shape \(N, 3, 6, 5\)"):
        predictor.run(pixels)


def test_files_that_cannot_be_read_are_said(predictor, tmp_path):
    with pytest.raises(ImageError, match="is not there"):
        predictor.predict(tmp_path / "gone.png")
    with pytest.raises(ImageError, match="not an image"):
        predictor.predict(io.BytesIO(b"hello"))


def test_threads_may_share_a_predictor(predictor):
    pixels = numpy.stack([picture(seed)[0] for seed in range(8)])
    alone = [predictor.run(each[None])[0] for each in pixels]
    together = [None] * 8

    def work(row):
        for _ in range(20):
            together[row] = predictor.run(pixels[row : row + 1])[0]

    workers = [threading.Thread(target=work, args=(row,)) for row in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert all((a == b).all() for a, b in zip(alone, together, strict=True))


def test_probabilities_of_large_logits_stay_finite():
    shares = probabilities(numpy.array([[1e4, 0, -1e4], [0, 0, 0]], numpy.float32))
    assert shares[0].tolist() == [1, 0, 0]
    assert shares[1] == pytest.approx([1 / 3] * 3)


def graph_changed(**changes):
    files = contents()
    about = manifest(files)
    about["model"] = about["model"] | changes
    return files, about


@pytest.mark.parametrize(
    ("files", "about"),
    [
        graph_changed(input="pixels"),
        graph_changed(output="logits"),
        graph_changed(maps="heat"),
        (contents(network(size=(9, 9))), None),
        (contents(network(channels=1)), None),
    ],
)
def test_a_network_that_is_not_what_the_manifest_says_is_refused(tmp_path, files, about):
    bundle = open_bundle(pack(tmp_path / "b", files, about))
    with pytest.raises(BundleError, match="network"):
        Predictor(bundle)


def test_a_network_that_cannot_run_is_refused_in_a_line(tmp_path):
    unknown = helper.make_node("NoSuchOperation", ["values"], ["other"])
    model = network(change=lambda graph: graph.node.append(unknown))
    bundle = open_bundle(pack(tmp_path / "b", contents(model)))
    with pytest.raises(BundleError, match=r"cannot be loaded: .*NoSuchOperation") as caught:
        Predictor(bundle)
    assert "\n" not in str(caught.value)


def test_golden_samples_are_replayed(predictor):
    found = replay(predictor)
    assert found.passed
    assert found.samples == 2
    assert 0 <= found.difference < 1e-4


def test_golden_samples_that_differ_are_named(tmp_path):
    files = contents()
    files["golden/001.png"] = picture(7)[1]
    found = replay(Predictor(open_bundle(pack(tmp_path / "b", files))))
    assert not found.passed
    (problem,) = found.problems
    assert problem.startswith("golden/001.png: a logit differs by")


def test_a_golden_image_that_would_be_huge_is_a_problem_and_not_decoded(tmp_path):
    """A PNG of a few bytes that says that it is 60,000 pixels wide."""
    data = bytearray(picture(0)[1])
    data[16:24] = (60_000).to_bytes(4, "big") * 2
    files = contents() | {"golden/000.png": bytes(data)}
    found = replay(Predictor(open_bundle(pack(tmp_path / "b", files))))
    assert len(found.problems) == 1
    assert "golden/000.png" in found.problems[0]


def test_a_bundle_without_samples_does_not_pass(tmp_path):
    found = replay(Predictor(open_bundle(pack(tmp_path / "b", contents(samples=0)))))
    assert found.problems == ("it holds no golden sample",)
