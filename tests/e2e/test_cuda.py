"""The whole way on a real GPU. Skipped where there is none, as in CI: run it by hand on one."""

import json
import signal
import subprocess
import sys
import time

import pytest
import torch

import convsmith
from convsmith.data import own_source
from convsmith.sizes import parse_size
from convsmith.training.device import bf16_supported

pytestmark = [
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU"),
    pytest.mark.timeout(300),
]


def noise(count, side, classes=4):
    """Images that are noise over a grey that tells the class."""
    draw = torch.Generator().manual_seed(0)
    labels = torch.arange(count) % classes
    pixels = torch.randint(0, 128, (count, 3, side, side), generator=draw)
    pixels = (pixels + 30 * labels[:, None, None, None]).to(torch.uint8)
    return own_source((pixels, labels), (pixels[:32], labels[:32]))


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def run(runs):
    return convsmith.train("digits", name="digits", runs=runs, progress="none")


def steps(run):
    return [each for each in run.metrics if each["event"] == "step"]


def losses(run):
    return [each["loss"] for each in steps(run)]


def test_a_gpu_is_chosen_by_itself_and_learns(run):
    environment = json.loads((run.path / "environment.json").read_text())
    assert torch.cuda.get_device_name() in json.dumps(environment)
    assert run.results.test.top1 > 0.97
    logged = steps(run)[-1]
    assert 0 < logged["memory_bytes"] <= logged["memory_peak_bytes"]
    assert logged["memory_peak_bytes"] <= logged["memory_reserved_bytes"]
    assert logged["memory_free_bytes"] > 0


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
def test_every_precision_and_layout_learns(runs, precision, layout):
    if precision == "bf16" and not bf16_supported(torch.device("cuda")):
        pytest.skip("this GPU has no bf16")
    sets = [f"train.precision={precision}", f"train.memory_format={layout}", "train.epochs=8"]
    made = convsmith.train("digits", sets=sets, runs=runs, progress="none")
    assert made.results.test.top1 > 0.93


def test_fp16_and_bf16_follow_fp32(runs):
    data, found = noise(256, 32), {}
    for precision in ("fp32", "bf16", "fp16"):
        recipe = {
            "data": {"source": "own", "validation": 0},
            "model": "resnet_small",
            "optimizer": {"name": "momentum", "learning_rate": 0.01},
            "train": {"epochs": 3, "batch_size": 64, "precision": precision, "log_every": 1},
        }
        found[precision] = losses(convsmith.train(recipe, data=data, runs=runs, progress="none"))
    assert found["bf16"] == pytest.approx(found["fp32"], rel=0.1, abs=0.1)
    assert found["fp16"] == pytest.approx(found["fp32"], rel=0.05, abs=0.05)


def test_the_same_seed_gives_the_same_bits(runs):
    first, second = (
        convsmith.train("digits", epochs=4, runs=runs, progress="none").path for _ in range(2)
    )
    name = "weights.safetensors"
    assert (first / name).read_bytes() == (second / name).read_bytes()


def test_a_killed_run_goes_on_to_the_same_bits(tmp_path):
    sets = ["train.epochs=40", "train.checkpoint.every_steps=3", "train.ema=0.98"]
    words = [sys.executable, "-m", "convsmith", "train", "--runs", str(tmp_path)]
    words += ["--progress", "none"]
    given = [*words, "digits", *(part for each in sets for part in ("--set", each))]
    subprocess.run([*given, "--name", "whole"], check=True, timeout=200)
    child = subprocess.Popen([*given, "--name", "killed"])
    while child.poll() is None:
        written = list((tmp_path / "killed" / "checkpoints").glob("step-*"))
        if any(int(each.name.split("-")[1]) > 30 for each in written):
            break
        time.sleep(0.01)
    assert child.poll() is None, "it ended before it could be killed"
    child.send_signal(signal.SIGKILL)
    child.wait()
    subprocess.run([*words, "--resume", str(tmp_path / "killed")], check=True, timeout=200)
    name = "weights.safetensors"
    whole, killed = ((tmp_path / each / name).read_bytes() for each in ("whole", "killed"))
    assert whole == killed


def grouped(epochs):
    """A recipe whose GroupNorm sees one image at a time, so that micro-batches change nothing."""
    return {
        "data": {"source": "own", "validation": 0, "augment": "none"},
        "model": {"name": "resnet_small", "norm": "group"},
        "optimizer": {"name": "momentum", "learning_rate": 0.01},
        "train": {"epochs": epochs, "batch_size": 192, "precision": "fp32", "log_every": 1},
    }


@pytest.mark.parametrize("stages", ["none", "auto"])
def test_a_budget_is_held_and_learns_the_same(runs, capfd, stages):
    recipe = grouped(epochs=2)
    data = noise(384, 32)
    free = convsmith.train(recipe, data=data, runs=runs, progress="none")
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_reserved()
    recipe["budget"] = {"memory": "700MB"}
    recipe["train"]["gradient_checkpointing"] = stages
    held = convsmith.train(recipe, data=data, runs=runs, progress="lines")
    said = capfd.readouterr()
    assert "note: to fit into" in said.out + said.err
    assert losses(held) == pytest.approx(losses(free), rel=2e-3)
    assert torch.cuda.max_memory_reserved() - before <= parse_size("700MB")
    assert free.results.peak_memory_bytes > parse_size("700MB")
    torch.empty(2**30, dtype=torch.uint8, device="cuda")  # the limit is gone


def test_running_out_of_memory_midway_splits_the_batch(runs, capfd):
    """The GPU has less memory from the third step on."""
    from convsmith.api import drive

    recipe = grouped(epochs=4)
    data = noise(384, 32)
    free = convsmith.train(recipe, data=data, runs=runs, progress="none")
    record = drive.PaceKeeper.step

    def step(self, event):
        if event.step == 3:
            torch.cuda.empty_cache()
            total = torch.cuda.get_device_properties(0).total_memory
            torch.cuda.set_per_process_memory_fraction(parse_size("700MB") / total)
        record(self, event)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(drive.PaceKeeper, "step", step)
        try:
            held = convsmith.train(recipe, data=data, runs=runs, progress="lines")
        finally:
            torch.cuda.set_per_process_memory_fraction(1.0)
    said = capfd.readouterr()
    assert "memory ran out in step 4" in said.out + said.err
    assert losses(held) == pytest.approx(losses(free), rel=2e-3)


def test_a_budget_that_nothing_fits_is_one_line(tmp_path):
    words = ["train", "digits", "--set", "model=resnet_wide3", "--memory", "40MB"]
    command = [sys.executable, "-m", "convsmith", *words, "--runs", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert "fits into 40" in done.stderr or "is not enough" in done.stderr


def test_images_are_streamed_to_it(runs):
    recipe = {
        "data": {
            "source": "own",
            "validation": 0,
            "augment": {"crop": 4, "flip": 0.5, "mixup": 0.2},
            "loading": {"stream": "yes", "workers": 2},
        },
        "model": "compact_cnn",
        "train": {"epochs": 2, "batch_size": 64},
    }
    kept = json.loads(json.dumps(recipe))
    kept["data"]["loading"] = {"stream": "no"}
    data = noise(256, 32)
    streamed, held = (
        convsmith.train(each, data=data, runs=runs, progress="none") for each in (recipe, kept)
    )
    name = "weights.safetensors"
    assert (streamed.path / name).read_bytes() == (held.path / name).read_bytes()


def test_evaluating_again_gives_the_same_and_the_cpu_agrees(run, runs):
    again = convsmith.evaluate(run.path, runs=runs)
    assert again.score.top1 == run.results.test.top1
    model = convsmith.load(run.path)
    images = torch.rand(64, 1, 8, 8)
    with torch.no_grad():
        here = model.module(images)
        there = model.module.to("cuda")(images.to("cuda")).cpu()
    model.module.to("cpu")
    assert torch.allclose(here, there, atol=2e-2)  # TF32


def test_looking_at_a_run_works_on_it(run, runs):
    convsmith.diagnose(run.path, runs=runs)
    convsmith.explain(run.path, mistakes=True, runs=runs)
    found = convsmith.lr("digits", steps=30, seeds=1, progress="none", out=runs / "lr.svg")
    assert found


def test_a_plan_knows_this_card(run):
    plan = convsmith.plan("cifar10-vgg", device="cuda")
    assert plan.device.split()[0] in torch.cuda.get_device_name()
