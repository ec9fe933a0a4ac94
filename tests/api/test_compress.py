"""Compressing a run: every kind on real digits, what is written, chosen and refused."""

import hashlib
import json
import math
from functools import partial

import numpy
import onnx
import pytest
import torch

import convsmith
from convsmith.api import compress as api
from convsmith.api.compress import Variant, choose, dominates, marks
from convsmith.api.folded import folded
from convsmith.api.samples import choose_samples
from convsmith.api.variants import KINDS, Workshop
from convsmith.compression.layers import layers_of
from convsmith.compression.measure import Accuracy, time_all
from convsmith.compression.runtime import executed, integer_layers, session
from convsmith.data import load_source
from convsmith.errors import UserError
from convsmith.recipe.build import split
from convsmith.recipe.load import load_recipe

MADE = {"compress.json", "report.html"}


@pytest.fixture(scope="module")
def quick():
    """Time hardly anything: what times are is tested elsewhere."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(api, "time_all", partial(time_all, rounds=1, seconds=0.002))
        yield


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    runs = tmp_path_factory.mktemp("runs")
    return convsmith.train("digits", epochs=12, runs=runs, progress="none")


def sums(run):
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in run.path.iterdir()
        if path.is_file() and path.name not in MADE
    }


@pytest.fixture(scope="module")
def found(run, quick):
    before = sums(run)
    made = convsmith.compress(
        run.path, KINDS, keep_float=["auto"], bound=0.02, calibration=200, batches=[2], epochs=2
    )
    assert sums(run) == before  # the run itself stays as it is
    return made


def named(found):
    return {each.name: each for each in found.variants}


def test_every_kind_is_made_and_keeps_what_the_network_knows(found, run):
    variants = named(found)
    assert next(iter(variants)) == "original"
    assert {"fuse", "bf16", "weights", "dynamic", "static", "full", "qat"} < set(variants)
    assert {"prune", "prune-static", "fuse (PyTorch)", "bf16 (PyTorch)"} < set(variants)
    assert variants["original"].test.top1 == pytest.approx(run.results.test.top1)
    for name, each in variants.items():
        assert each.test.images == run.results.test.images
        least = 0.93 if "prune" in name else 0.97
        assert each.test.top1 > least, name
        assert each.test.agreement > least, name
    assert variants["fuse"].test.agreement == 1


def test_integers_are_really_executed_and_files_are_small(found, run):
    variants = named(found)
    for name in ("static", "full", "qat", "dynamic", "prune-static"):
        path = run.path / variants[name].file
        assert variants[name].integer_layers == 5
        assert integer_layers(executed(onnx.load(path))) == 5
        assert variants[name].bytes == path.stat().st_size
    size = variants["original"].bytes
    assert size / variants["weights"].bytes > 3.5
    assert size / variants["static"].bytes > 3.3
    assert size / variants["prune"].bytes > 1.5
    assert variants["weights"].integer_layers == 0


def test_the_files_say_what_was_measured(found, run):
    source = load_source("digits", None)
    pixels = source.test.take(slice(None))[0].contiguous().numpy()
    labels = source.test.labels.numpy()
    for name in ("weights", "static", "qat"):
        content = (run.path / named(found)[name].file).read_bytes()
        logits = session(content, 2).run(["output"], {"input": pixels})[0]
        assert (logits.argmax(1) == labels).mean() == pytest.approx(named(found)[name].test.top1)


def test_what_is_stored_is_what_is_returned(found, run):
    stored = json.loads((run.path / "compress.json").read_text())
    assert [each["name"] for each in stored["variants"]] == list(named(found))
    assert stored["chosen"] == found.chosen
    assert stored["variants"][0]["throughput"]["32"] == found.variants[0].throughput[32]
    files = {path.name for path in (run.path / "compressed").iterdir()}
    assert files == {f"{each.name}.onnx" for each in found.variants if each.file}
    assert "Accuracy, latency and size" in (run.path / "report.html").read_text()


def test_layers_are_reported_with_what_was_folded_and_what_is_done_in_one_go(found):
    layers = {each.name: each for each in found.layers}
    assert layers["stage1.0"].absorbed == "stage1.1"
    assert layers["stage1.0"].joined == ("relu",)
    assert layers["stage1.3"].then == ("relu", "max pooling")
    assert {each.name for each in found.sensitivity} == {
        "stage1.0", "stage1.3", "stage2.0", "stage2.3", "head",
    }  # fmt: skip
    assert found.kept_float.enough
    assert sum(cut.channels - cut.kept for cut in found.cuts) > 0


def test_a_second_time_replaces_the_first(found, run, quick):
    again = convsmith.compress(run.path, ["weights"], calibration=64, images=50, batches=[2])
    assert [path.name for path in (run.path / "compressed").iterdir()] == ["weights.onnx"]
    assert again.variants[1].test.images == 50
    assert again.sensitivity == ()


def test_images_do_not_overlap_and_are_those_of_the_seed():
    recipe = load_recipe("digits").recipe
    parts = split(recipe, load_source("digits", None))
    first, again = (choose_samples(parts, 3, 100, 60) for _ in range(2))
    other = choose_samples(parts, 4, 100, 60)
    batch = next(first.calibration.batches())
    assert (batch == next(again.calibration.batches())).all()
    assert not (batch == next(other.calibration.batches())).all()
    assert first.part == "validation part"
    assert (len(first.calibration), len(first.selection), len(first.test)) == (100, 60, 60)
    kept = set(first.calibration.images.rows.tolist())
    assert not kept & set(first.selection.images.rows.tolist())


def test_a_run_without_a_validation_part_is_judged_by_training_images_it_is_not_calibrated_on():
    recipe = load_recipe("digits", sets=["data.validation=0"]).recipe
    parts = split(recipe, load_source("digits", None))
    found = choose_samples(parts, 0, 100, None)
    assert "training images" in found.part
    rows = [set(each.images.rows.tolist()) for each in (found.calibration, found.selection)]
    assert not rows[0] & rows[1]
    assert len(rows[0] | rows[1]) == len(parts.train)


def accuracy(drop):
    return Accuracy(0.9 - drop, 1, 1, drop, (drop, drop), 100)


def variant(name, drop, rate, file="f"):
    what = marks(drop, 0.003, rate, 100)
    return Variant(
        name, "", "", file, 1, 0, accuracy(drop), accuracy(drop), 1, {1: 1, 32: rate}, what, True
    )


def test_what_is_slower_or_loses_too_much_is_marked_and_not_chosen():
    slow, wrong = variant("slow", 0.0, 90), variant("wrong", 0.004, 900)
    good, better = variant("good", 0.003, 300), variant("better", -0.001, 400)
    fileless = variant("PyTorch", 0.0, 999, None)
    assert slow.marks == ("slower than the original",)
    assert wrong.marks == ("loses more than 0.3 pp",)
    assert choose([slow, wrong, good, better, fileless]) == "better"
    assert choose([slow, wrong, fileless]) is None


def test_what_dominates_is_nowhere_worse_and_somewhere_better():
    assert dominates((0.0, 1, 2), (0.0, 1, 3))
    assert not dominates((0.0, 1, 2), (0.0, 1, 2))
    assert not dominates((0.0, 1, 2), (-0.1, 3, 3))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"kinds": ["statik"]}, "did you mean `static`"),
        ({"bound": -0.1}, "bound must be"),
        ({"share": 1.0}, "share must be"),
        ({"epochs": 0}, "epochs must be"),
        ({"epochs": math.nan}, "epochs must be"),
        ({"learning_rate": 0.0}, "learning_rate must be"),
        ({"images": 0}, "images must be"),
        ({"batches": [8, 0]}, "batches must be"),
        ({"calibration": 0}, "calibration must be"),
        ({"calibration": 100_000}, "too few to calibrate on 100,000"),
    ],
)
def test_mistakes_are_one_line(run, words, said):
    with pytest.raises(UserError, match=said) as raised:
        convsmith.compress(run.path, **words)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("stage1.1", r"\(did you mean `stage1.[03]`\?\)"),
        ("nosuch", "there are stage1.0, stage1.3, stage2.0, stage2.3, head"),
    ],
)
def test_a_layer_that_is_not_there_is_said_before_any_image_is_read(run, monkeypatch, name, hint):
    monkeypatch.setattr(api, "read_parts", None)
    with pytest.raises(UserError, match=f"no layer called '{name}'.*{hint}") as raised:
        convsmith.compress(run.path, keep_float=["head", name])
    assert "\n" not in str(raised.value)


def test_layers_that_stay_real_do_so_in_a_pruned_network_too(run):
    model = convsmith.load(run.path)
    pixels = numpy.random.default_rng(0).integers(0, 17, (32, 1, 8, 8), dtype=numpy.uint8)
    train = lambda network, kind: None  # noqa: E731
    ready = folded(model.module, api.input_of(model.card))
    workshop = Workshop(ready, [pixels], 1, 127, train, 0.3)
    first = layers_of(ready.proto.graph)[0].name
    counts = [workshop.make("prune", kept)[1].integer_layers for kept in ((), [first])]
    assert counts[1] == counts[0] - 1


def test_points_are_refused(tmp_path):
    run = convsmith.train("moons", epochs=1, runs=tmp_path, progress="none")
    with pytest.raises(UserError, match="networks of images"):
        convsmith.compress(run.path)


def test_a_network_of_ones_own(tmp_path, quick):
    draw = torch.Generator().manual_seed(0)
    labels = torch.arange(240) % 2
    pixels = torch.randint(0, 120, (240, 3, 8, 8), dtype=torch.uint8, generator=draw)
    pixels[labels == 1] += 100
    data = convsmith.own_source((pixels, labels), (pixels[:40], labels[:40]))
    network = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3, groups=1), torch.nn.BatchNorm2d(8), torch.nn.ReLU(),
        torch.nn.Conv2d(8, 8, 3, groups=8), torch.nn.BatchNorm2d(8), torch.nn.ReLU(),
        torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(8, 2),
    )  # fmt: skip
    run = convsmith.train(
        "digits", model=network, data=data, epochs=3, runs=tmp_path, progress="none"
    )
    found = convsmith.compress(
        run.path, ["static"], calibration=50, batches=[2], model=network, data=data
    )
    static = named(found)["static"]
    assert static.integer_layers == 3
    assert static.test.agreement > 0.9
    assert numpy.isfinite(static.latency)
