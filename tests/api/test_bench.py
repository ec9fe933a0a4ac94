"""Timing runs and bundles: what is timed, what is recommended, what is written and refused."""

import csv
import json
import shutil

import pytest

import convsmith
from convsmith.api import bench as api
from convsmith.api.bench import best, configurations, rate
from convsmith.errors import DamagedError, RunError, UserError, WriteError


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    runs = tmp_path_factory.mktemp("runs")
    made = convsmith.train("digits", epochs=3, runs=runs, progress="none")
    convsmith.compress(made.path, ["static"], batches=[1], bound=0.5, images=50)
    convsmith.export(made.path)
    return made


QUICK = {"engines": ["eager", "onnxruntime", "openvino"], "rounds": 2, "seconds": 0.01}


@pytest.fixture(scope="module")
def found(run):
    bundle = run.path / "exports" / "model.convsmith"
    return convsmith.bench([run.path, bundle], batches=[8, 1], threads=[1], **QUICK)


def test_every_engine_and_variant_is_timed_at_every_batch_size(found):
    names = [each.name.removesuffix(", 1 thread") for each in found.configurations]
    assert names == [
        "digits-1: eager", "digits-1: onnxruntime static", "digits-1: onnxruntime fuse",
        "digits-1: openvino static", "digits-1: openvino fuse",
        "model: onnxruntime bundle", "model: openvino bundle",
    ]  # fmt: skip
    for each in found.configurations:
        assert each.failed is None
        assert [timed.batch for timed in each.timed] == [1, 8]
        assert 0 < each.timed[0].p50 < 1
        assert each.memory < 2**30
    precisions = {each.variant: each.precision for each in found.configurations}
    assert precisions == {"": "fp32", "static": "int8", "fuse": "fp32", "bundle": ""}


def test_what_is_recommended_is_the_fastest(found):
    known = {each.name: each for each in found.configurations}
    assert known[found.quickest].at(1).p50 == min(e.at(1).p50 for e in found.configurations)
    assert rate(known[found.busiest].fastest) == max(
        rate(each.fastest) for each in found.configurations
    )


def test_networks_of_one_name_are_told_apart(run, tmp_path):
    places = [str(run.path / "exports" / "model.convsmith"), str(tmp_path / "model.convsmith")]
    small = convsmith.train("digits", model="mlp", epochs=1, runs=tmp_path, progress="none")
    made = convsmith.export(small.path, out=tmp_path)
    assert str(made.files[0]) == places[1]
    engines = {**QUICK, "engines": ["onnxruntime"]}
    found = convsmith.bench([*places, places[0]], batches=[1], threads=[1], out=tmp_path, **engines)
    assert len({each.network for each in found.configurations}) == len(found.configurations) == 2
    assert found.configurations[0].timed != found.configurations[1].timed


def test_a_variant_that_loses_too_much_is_timed_and_not_recommended(run, found):
    path = run.path / "compress.json"
    whole = path.read_text()
    stored = json.loads(whole)
    for each in stored["variants"]:
        each["marks"] = ["loses more than 0.3 pp"] if each["name"] == "static" else []
    try:
        path.write_text(json.dumps(stored))
        subject = api.subject_of(run.path, None, run.path / "place", ["eager"], print)
    finally:
        path.write_text(whole)
        (run.path / "place").rmdir()
    planned = list(configurations(subject, ["onnxruntime"], 1))
    static = next(each for each in planned if each.variant == "static")
    assert static.marks == ("loses more than 0.3 pp",)
    marked = [
        api.replace(each, marks=static.marks if each.variant == "static" else ())
        for each in found.configurations
    ]
    assert "static" not in best(marked, lambda each: rate(each.fastest))
    assert best([api.replace(static, timed=found.configurations[0].timed)], rate) is None


def test_the_table_the_picture_and_the_figures_are_written(run, found):
    table, picture, figures = found.files
    assert table.parent == run.path / "bench"
    lines = list(csv.DictReader(table.read_text().splitlines()))
    assert len(lines) == 2 * len(found.configurations)
    assert float(lines[0]["p50"]) == found.configurations[0].timed[0].p50
    assert picture.read_text().count('class="line"') >= len(found.configurations)
    assert json.loads(figures.read_text())["quickest"] == found.quickest


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"engines": ["onnxrutime"]}, "did you mean `onnxruntime`"),
        ({"batches": [0]}, "must be at least 1, got 0"),
        ({"threads": [-1]}, "must be at least 1, got -1"),
        ({"rounds": 0}, "must be at least 1, got 0"),
        ({"batches": [1, 10**9]}, "batches must be at most 65,536, got 1,000,000,000"),
        ({"threads": [100_000]}, "threads must be at most 1,024, got 100,000"),
        ({"seconds": float("nan")}, "seconds must be more than 0"),
    ],
)
def test_what_cannot_be_meant_is_one_line(run, change, words):
    with pytest.raises(UserError, match=words) as caught:
        convsmith.bench(run.path, **{**QUICK, **change})
    assert "\n" not in str(caught.value)


def test_a_damaged_run_is_said_before_anything_is_timed(run, tmp_path):
    broken = shutil.copytree(run.path, tmp_path / "broken")
    (broken / "weights.safetensors").write_bytes(b"x")
    said = []
    with pytest.raises(DamagedError, match="does not match its checksum"):
        convsmith.bench(broken, say=said.append, **QUICK)
    assert not any(each.startswith("starting") for each in said)


def test_what_is_no_run_and_no_bundle_is_refused(tmp_path):
    with pytest.raises(RunError, match="no run"):
        convsmith.bench(tmp_path / "none", **QUICK)
    for name, content in (("none.convsmith", None), ("bad.convsmith", b"PK"), ("x.onnx", b"x")):
        if content is not None:
            (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError, match=name):
            convsmith.bench(tmp_path / name, **QUICK)
    with pytest.raises(UserError, match="nothing to time"):
        convsmith.bench([], **QUICK)


def test_an_engine_that_is_not_there_is_left_out_with_a_note(monkeypatch):
    monkeypatch.setattr(api, "find_spec", lambda name: None)
    monkeypatch.setattr(api, "has_compiler", lambda: False)
    usable, notes = api.installed(["eager", "compiled", "onnxruntime", "openvino"])
    assert usable == ["eager"]
    assert notes[0] == "compiled is left out: torch.compile needs a C++ compiler"
    assert 'pip install "convsmith[deploy]"' in notes[1]
    assert 'pip install "convsmith[openvino]"' in notes[2]


def test_bundles_of_one_name_are_told_apart_and_the_same_one_is_timed_once(run, tmp_path):
    bundle = run.path / "exports" / "model.convsmith"
    targets = [tmp_path / name / "model.convsmith" for name in ("one", "two")]
    for target in targets:
        target.parent.mkdir()
        target.write_bytes(bundle.read_bytes())
    quick = {**QUICK, "engines": ["onnxruntime"], "threads": [1], "batches": [1]}
    found = convsmith.bench(
        [*targets, targets[0], run.path, run.path.name],
        runs=run.path.parent,
        out=tmp_path / "out",
        **quick,
    )
    networks = [each.network for each in found.configurations]
    assert networks == ["one/model.convsmith", "two/model.convsmith", *[run.path.name] * 2]
    times = [each.timed[0] for each in found.configurations[:2]]
    assert times[0] != times[1]


def test_a_bundle_that_no_engine_runs_is_said_before_anything_is_timed(run, tmp_path):
    bundle = run.path / "exports" / "model.convsmith"
    with pytest.raises(UserError, match="which eager does not run"):
        convsmith.bench(bundle, **{**QUICK, "engines": ["eager"]})
    quick = {**QUICK, "engines": ["eager"], "batches": [1], "threads": [1]}
    found = convsmith.bench([run.path, bundle], out=tmp_path, **quick)
    assert any("model is left out" in each for each in found.notes)


def test_a_place_that_cannot_be_written_is_said_before_anything_is_timed(run, tmp_path):
    (tmp_path / "file").write_text("x")
    said = []
    with pytest.raises(WriteError, match="cannot write"):
        convsmith.bench(run.path, out=tmp_path / "file", say=said.append, **QUICK)
    assert not any(each.startswith("starting") for each in said)
