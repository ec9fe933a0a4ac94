"""What is written into a bundle, its card, and files that are whole or not there."""

import zipfile

import numpy
import pytest
from tests.runtime.builders import network, picture

from convsmith.errors import WriteError
from convsmith.exporting.about import About
from convsmith.exporting.bundle import write_bundle
from convsmith.exporting.card import model_card
from convsmith.exporting.files import replacing, write_whole
from convsmith.exporting.graph import Input
from convsmith.exporting.onnx import OnnxFile
from convsmith_runtime.bundle import open_bundle
from convsmith_runtime.manifest import Golden

GIVEN = Input(3, (6, 5), (0.5, 0.5, 0.5), (0.2, 0.2, 0.2))


def about(classes=("cat", "dog", "owl", "fox")):
    return About(
        name="pets",
        created="2026-01-01T00:00:00+00:00",
        convsmith="0.1.0",
        network="tiny",
        classes=classes,
        resize="pad",
        metrics={"test": {"top1": 0.5}},
        recipe="seed: 0\n",
        licence=None,
    )


def write(path, place):
    (place / "model.onnx").write_bytes(network().SerializeToString())
    model = OnnxFile(place / "model.onnx", 20, "maps")
    logits = tuple(numpy.float32([0.1, 1e-9, -3, 4]).tolist())
    golden = [Golden("golden/000.png", picture(0)[1], 2, logits)]
    write_bundle(
        path, about(), GIVEN, model, golden, tolerance=0.5, card="# pets\n", precision="int8"
    )
    return golden


def test_a_bundle_reads_back_as_it_was_written(tmp_path):
    golden = write(tmp_path / "pets.convsmith", tmp_path)
    bundle = open_bundle(tmp_path / "pets.convsmith")
    assert bundle.golden == tuple(golden)
    assert bundle.graph.precision == "int8"
    assert bundle.preprocessing.resize == "pad"
    assert bundle.tolerance == 0.5
    assert bundle.model == (tmp_path / "model.onnx").read_bytes()
    assert (bundle.name, bundle.network, bundle.licence) == ("pets", "tiny", None)


def test_equal_contents_make_equal_files_which_any_zip_program_reads(tmp_path):
    for name in ("a", "b"):
        write(tmp_path / name, tmp_path)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    with zipfile.ZipFile(tmp_path / "a") as archive:
        assert archive.testzip() is None
        assert archive.read("card.md") == b"# pets\n"
        assert archive.getinfo("manifest.json").external_attr >> 16 == 0o100644


def test_a_card_says_what_was_measured_and_nothing_in_a_name_is_markdown():
    classes = ("a|b", "<script>", "*wow*", "two\nlines", *map(str, range(60)))
    facts = [("top-1", "50.00% of 10 images")]
    shares = {"a|b": 0.25, "<script>": 1.0, "0": 0.5}
    card = model_card(about(classes), GIVEN, facts, shares, "my model.convsmith")
    assert "| top-1 | 50.00% of 10 images |" in card
    assert "Weakest classes: a\\|b 25.0%, 0 50.0%." in card
    assert "a\\|b, \\<script\\>, \\*wow\\*, two lines" in card
    assert "and 34 more." in card
    assert "convsmith-runtime predict 'my model.convsmith' photo.jpg" in card
    assert "resized and padded with black to 6x5 pixels" in card
    assert "Licence: not stated" in card
    assert "Weakest" not in model_card(about(), GIVEN, facts, {"cat": 1.0, "dog": 1.0}, "b")


def test_a_file_that_cannot_be_written_whole_stays_as_it_was(tmp_path):
    path = tmp_path / "model.onnx"
    write_whole(path, b"before")

    def half():
        with replacing(path) as new:
            new.write_bytes(b"ha")
            raise OSError(28, "No space left on device")

    with pytest.raises(WriteError, match=r"model.onnx cannot be written: No space left"):
        half()
    assert path.read_bytes() == b"before"
    assert [each.name for each in tmp_path.iterdir()] == ["model.onnx"]
    (tmp_path / "file").touch()
    with pytest.raises(WriteError):
        write_whole(tmp_path / "file" / "model.onnx", b"x")
