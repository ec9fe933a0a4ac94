"""The plan of a recipe: answered for every preset, on devices that are not here."""

import json
import time

import pytest
import torch
from PIL import Image
from torch import nn

import convsmith
from convsmith.api import calibrate
from convsmith.api.calibrate import Trial
from convsmith.data import own_source
from convsmith.errors import DataError, RecipeError, UserError
from convsmith.planning.devices import find_device
from convsmith.planning.estimate import seconds_of
from convsmith.planning.machine import SHARES, Machine, published
from convsmith.planning.synthetic import NETWORKS
from convsmith.planning.trace import trace
from convsmith.recipe.build import read_source, split
from convsmith.recipe.load import load_recipe
from convsmith.recipe.presets import presets

NAMES = [preset.name for preset in presets()]


@pytest.mark.parametrize("name", NAMES)
def test_every_preset_has_a_plan_and_soon(name):
    started = time.perf_counter()
    plan = convsmith.plan(name, device="t4")
    assert time.perf_counter() - started < 15
    assert plan.parameters > 0
    assert plan.step_seconds > 0
    assert plan.memory.training >= plan.memory.inference > 0
    assert "fits in 14.40 GiB" in plan.answer
    assert any(each.best for each in plan.choices)


def test_what_does_not_fit_is_told_with_what_would():
    plan = convsmith.plan("cifar100-resnet", device="t4", memory="1GB", precision="fp32")
    assert "does not fit in 1.00 GiB" in plan.answer
    assert "use " in plan.answer
    assert "% memory)" in plan.answer
    chosen = next(each for each in plan.choices if each.fits)
    assert chosen.memory <= 2**30 < plan.memory.training


def test_a_precision_that_is_asked_for_is_held_against_the_fastest_one():
    plan = convsmith.plan("cifar100-resnet", device="t4", precision="fp32")
    assert plan.precision == "fp32"
    assert {each.precision for each in plan.choices} == {"fp32", "fp16"}
    told = next(each for each in plan.checks if each.topic == "precision")
    assert (told.verdict, told.reason) == ("warn", "fp32; fp16 is faster here")
    alone = convsmith.plan("cifar100-resnet", device="gtx-1060", precision="fp32")
    assert alone.checks[-1].reason == "fp32, the fastest here"


def test_a_batch_that_micro_batches_do_not_divide_has_a_plan():
    options = {"sets": ["train.accumulate=4"], "device": "t4", "batch_size": 2000}
    plan = convsmith.plan("digits", **options)
    assert plan.batch_size % 4
    assert {each.accumulate for each in plan.choices} == {4}
    assert plan.choices[0].micro_batch == -(-plan.batch_size // 4)


@pytest.mark.parametrize(
    ("options", "kind", "said"),
    [
        ({"device": "t5"}, UserError, "no device is called 't5'"),
        ({"device": "t4", "memory": "6 gigs"}, UserError, "memory: '6 gigs' is not a size"),
        ({"device": "t4", "sets": ["model.widths=3"]}, RecipeError, "must be a list"),
    ],
)
def test_mistakes_are_one_line(options, kind, said):
    with pytest.raises(kind, match=said):
        convsmith.plan("cifar10-vgg", **options)


def pictures(folder, names):
    """Images of 8x8 pixels, none of them equal."""
    for at, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8), at).save(folder / name)
    return folder


def uneven(part, counts):
    return [f"{part}{'abc'[label]}/{at}.png" for label in range(3) for at in range(counts[label])]


@pytest.fixture
def sources(tmp_path, monkeypatch):
    """Image files in classes of odd sizes: with and without parts and groups of their own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    pictures(tmp_path / "plain", uneven("", (13, 27, 38)))
    tested = uneven("train/", (13, 27, 38)) + uneven("test/", (3, 4, 5))
    pictures(tmp_path / "tested", tested)
    pictures(tmp_path / "all", tested + uneven("val/", (2, 2, 3)))
    rows = [
        f"plain/{name},{name[0]},p{at // 5}" for at, name in enumerate(uneven("", (13, 27, 38)))
    ]
    (tmp_path / "groups.csv").write_text("\n".join(["path,label,group", *rows]))
    return tmp_path


SPLITS = ({}, {"data.test": 0.13, "data.validation": 0.27, "seed": 3}, {"data.validation": 0})


@pytest.mark.parametrize("splits", SPLITS)
@pytest.mark.parametrize(
    "name",
    ["digits", "moons", "mnist", "folder:plain", "folder:tested", "folder:all", "csv:groups"],
)
def test_the_images_that_are_trained_on_are_counted_as_training_counts_them(
    name, splits, sources, request
):
    kind, colon, place = name.partition(":")
    source = f"{kind}:{sources / place}{'.csv' * (kind == 'csv')}" if colon else name
    sets = [f"{key}={value}" for key, value in splits.items()]
    plan = convsmith.plan("digits", device="t4", model="mlp", data=source, sets=sets)
    recipe = load_recipe("digits", sets=[*sets, "model=mlp"], keywords={"source": source}).recipe
    root = request.getfixturevalue("data_root") if name == "mnist" else sources
    read = read_source(recipe, root, lambda text: None)
    parts = split(recipe, read)
    assert plan.images == len(parts.train)
    assert plan.classes == len(parts.classes)
    every = [part for part in (parts.train, parts.validation, parts.test) if part is not None]
    assert plan.memory.data == sum(part.nbytes + 8 * len(part) for part in every)


def test_a_split_that_training_refuses_is_refused(tmp_path):
    source = f"folder:{pictures(tmp_path, ['a/1.png', 'b/1.png'])}"
    with pytest.raises(DataError, match="cannot hold out 20% of 2 images"):
        convsmith.plan("digits", device="t4", model="mlp", data=source)


@pytest.fixture
def known_machine(monkeypatch):
    """Stands for this machine, which takes half a minute to measure."""
    monkeypatch.setattr(
        "convsmith.api.plan.this_machine", lambda say: published(find_device("gtx-1060"))
    )


def test_a_precision_that_the_device_does_not_compute_in_is_not_the_fastest():
    plan = convsmith.plan("digits", device="t4", precision="bf16")
    assert plan.notes == (
        "Tesla T4 does not compute in bf16: the times are those of fp32, and it will be slower",
    )
    reason = next(each.reason for each in plan.checks if each.topic == "precision")
    assert reason == "bf16; fp16 is faster here"
    assert convsmith.plan("digits", device="t4", precision="fp16").notes == ()


def test_a_network_and_data_of_your_own_have_a_plan():
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 3))
    before = {name: value.clone() for name, value in net.state_dict().items()}
    pixels, labels = torch.zeros(60, 1, 8, 8, dtype=torch.uint8), torch.arange(60) % 3
    plan = convsmith.plan(
        "digits",
        sets=["data.validation=0"],
        model=net,
        data=own_source((pixels, labels), (pixels[:9], labels[:9])),
        device="t4",
    )
    assert plan.parameters == 4 * 9 + 4 + 3 * 4 * 36 + 3
    assert plan.macs == 36 * 4 * 9 + 3 * 4 * 36
    assert (plan.images, plan.classes, plan.network) == (60, 3, "Sequential")
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_the_plan_of_a_run_is_kept_in_its_page(tmp_path, known_machine):
    run = convsmith.train("digits", epochs=1, runs=tmp_path, progress="none")
    assert 'id="plan"' not in run.folder.report.read_text()
    convsmith.plan(run.path, device="t4")  # not where it was trained
    assert not run.folder.plan.exists()
    plan = convsmith.plan(run.path.name, runs=tmp_path)
    page = run.folder.report.read_text()
    assert 'id="plan"' in page
    assert plan.answer in page
    assert all(check.reason in page for check in plan.checks if "'" not in check.reason)
    assert json.loads(run.folder.plan.read_text())["parameters"] == plan.parameters
    run.folder.plan.write_text("{}")
    convsmith.report(run.path)
    assert "plan.json" in run.folder.report.read_text()


def test_a_machine_is_measured_once(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    kinds = [each for kind in SHARES for each in (kind, f"{kind}_backward")]
    rates = {f"{kind}/{p}": ((64, 1e9),) for kind in kinds for p in ("fp32", "bf16")}
    calls = []

    def measured(precisions):
        calls.append(precisions)
        return rates, {"memory": 1e9}, {"memory": 1e-6}, {"conv/fp32": 1e9}

    monkeypatch.setattr(calibrate, "measure_rates", measured)
    made = trace(NETWORKS["tiny"](), lambda m: torch.optim.SGD(m.parameters()), (3, 8, 8), 2)
    quick = Machine("", None, "fp32", rates, {"memory": 1e9}, {"memory": 1e-6})
    trial = Trial("fp32", made, made.heap + 10**8, 1.1 * seconds_of(made, quick).step)
    trials = trial, [trial]
    monkeypatch.setattr(calibrate, "try_trainings", lambda precisions, say: trials)
    said = []
    first, again = (calibrate.this_machine(said.append) for _ in range(2))
    assert first == again
    assert len(calls) == 1
    assert said == ["measuring this machine, once: how fast it is"]
    assert first.growth == pytest.approx(1)
    assert seconds_of(made, first).step == pytest.approx(trial.seconds, rel=0.01)


@pytest.mark.timeout(300)
def test_a_training_for_measuring_runs_in_a_process_of_its_own():
    trial = calibrate.try_training("tiny", "fp32")
    assert 2**26 < trial.grown < 2**30
    assert 1e-4 < trial.seconds < 10
