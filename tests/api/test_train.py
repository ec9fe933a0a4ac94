"""Training from Python: what a run holds, what resuming refuses, what is repaired."""

import json
import os
import re
import shutil
import signal
import threading

import numpy
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

import convsmith
from convsmith.api import drive, train
from convsmith.errors import (
    CheckpointError,
    DamagedError,
    DataError,
    Interrupted,
    NonFiniteError,
    ResumeError,
    RunError,
    Terminated,
    UserError,
    WriteError,
)
from convsmith.training.stopping import EarlyStopping

SMALL = {
    "data": {"source": "digits", "validation": 0.2},
    "model": {"name": "digits_cnn", "widths": (8, 16)},
    "optimizer": {"name": "momentum", "learning_rate": 0.05},
    "train": {
        "epochs": 3,
        "batch_size": 64,
        "precision": "fp32",
        "memory_format": "contiguous",
        "log_every": 5,
        "checkpoint": {"every_steps": 10, "keep": 3},
    },
}


def small(runs, name="run", recipe=SMALL, **keywords):
    return convsmith.train(recipe, name=name, runs=runs, progress="none", **keywords)


class Stopping:
    """Sends this process a signal at one step of a training."""

    def __init__(self, monkeypatch, step, number=signal.SIGTERM):
        original = drive.PaceKeeper.step

        def stop(keeper, event):
            if event.step == step:
                os.kill(os.getpid(), number)
            original(keeper, event)

        monkeypatch.setattr(drive.PaceKeeper, "step", stop)


def die(session):
    raise RuntimeError("killed")


def resume(run, **keywords):
    return convsmith.train(resume=run, progress="none", **keywords)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    return small(tmp_path_factory.mktemp("runs"))


def stopped_at(monkeypatch, runs, step, **keywords):
    with monkeypatch.context() as patch:
        Stopping(patch, step)
        with pytest.raises(Interrupted):
            small(runs, **keywords)
    return runs / "run"


def test_a_run_holds_everything_about_itself(finished):
    for name in (
        *("run.json", "recipe.yaml", "environment.json", "metrics.jsonl", "log.txt"),
        *("model.json", "weights.safetensors", "results.json"),
    ):
        assert (finished.path / name).stat().st_size > 0
    results = finished.results
    assert results.epochs == 3
    assert results.steps == 3 * 17
    assert results.test.images == 359
    assert 0.5 < results.test.top1 <= results.test.top5 <= 1
    assert results.images_per_second > 0
    assert results.per_class.min <= results.per_class.mean <= results.per_class.max
    assert results.model_bytes == (finished.path / "weights.safetensors").stat().st_size
    epochs = [event for event in finished.metrics if event["event"] == "epoch"]
    assert [event["epoch"] for event in epochs] == [1, 2, 3]
    assert epochs[-1]["val"]["top1"] == results.val.top1


def test_its_results_are_the_published_shape(finished):
    found = json.loads((finished.path / "results.json").read_text())
    named = "run test val epochs best_epoch seconds images_per_second eval_images_per_second"
    named += " peak_memory_bytes parameters model_bytes per_class weights averaged"
    assert set(named.split()) <= found.keys()
    assert found["test"].keys() >= {"top1", "top5", "loss"}
    assert found["per_class"].keys() == {"mean", "std", "min", "max"}


def test_equal_seeds_give_equal_files_and_other_seeds_others(finished, tmp_path):
    again, other = small(tmp_path, "again"), small(tmp_path, "other", seed=1)
    weights = [(run.path / "weights.safetensors").read_bytes() for run in (finished, again, other)]
    assert weights[0] == weights[1] != weights[2]


def test_its_recipe_leaves_nothing_to_decide_and_trains_the_same(finished, tmp_path):
    recipe = finished.recipe
    assert (recipe.train.precision, recipe.train.device) == ("fp32", "cpu")
    again = small(tmp_path, recipe=finished.path / "recipe.yaml")
    weights = [(run.path / "weights.safetensors").read_bytes() for run in (finished, again)]
    assert weights[0] == weights[1]


def test_evaluating_reproduces_every_digit(finished):
    assert convsmith.evaluate(finished.path).score == finished.results.test
    assert convsmith.evaluate(finished.path, split="validation").score == finished.results.val
    assert convsmith.evaluate(finished.path, split="train").score.images == 1438 - 287


def test_a_finished_run_is_returned_as_it_is(finished):
    before = (finished.path / "results.json").read_bytes()
    assert resume(finished.path).results == finished.results
    assert (finished.path / "results.json").read_bytes() == before


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["ctrl-c", "sigterm"]
)
def test_a_signal_finishes_the_step_writes_a_checkpoint_and_says_how_to_go_on(
    finished, monkeypatch, tmp_path, number, code
):
    with monkeypatch.context() as patch:
        Stopping(patch, 23, number)
        with pytest.raises(Interrupted, match=r"--resume .*run") as caught:
            small(tmp_path)
    assert caught.value.exit_code == code
    newest = sorted((tmp_path / "run" / "checkpoints").iterdir())[-1]
    assert newest.name == "step-00000023"
    again = resume(tmp_path / "run")
    assert (again.path / "weights.safetensors").read_bytes() == (
        finished.path / "weights.safetensors"
    ).read_bytes()
    timed = ("seconds", "images_per_second")
    plain = [
        [
            {k: v for k, v in event.items() if k not in timed and not k.startswith("memory_")}
            for event in run.metrics
        ]
        for run in (finished, again)
    ]
    assert plain[0] == plain[1]


def test_outside_the_main_thread_training_works_without_signals(finished, tmp_path):
    found = []
    thread = threading.Thread(target=lambda: found.append(small(tmp_path).results.test))
    thread.start()
    thread.join()
    assert found == [finished.results.test]


def test_a_run_that_was_killed_before_its_first_step_starts_at_step_0(
    finished, monkeypatch, tmp_path
):
    with monkeypatch.context() as patch:
        patch.setattr(train, "drive", die)
        with pytest.raises(RuntimeError, match="killed"):
            small(tmp_path)
    again = resume(tmp_path / "run")
    assert again.results.test == finished.results.test
    assert [event["step"] for event in again.metrics] == [e["step"] for e in finished.metrics]


def test_a_damaged_checkpoint_is_named_and_the_one_before_it_used(finished, monkeypatch, tmp_path):
    run = stopped_at(monkeypatch, tmp_path, 23)
    newest = sorted((run / "checkpoints").iterdir())[-1] / "tensors.safetensors"
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 1
    newest.write_bytes(content)
    again = resume(run)
    assert "damaged" in (run / "log.txt").read_text()
    assert "going on at step 20" in (run / "log.txt").read_text()
    assert again.results.test == finished.results.test


def test_a_run_whose_every_checkpoint_is_damaged_is_refused(monkeypatch, tmp_path):
    run = stopped_at(monkeypatch, tmp_path, 23)
    for folder in (run / "checkpoints").iterdir():
        (folder / "fields.json").write_text("{}")
    with pytest.raises(CheckpointError, match="every checkpoint"):
        resume(run)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("torch", "1.12.0", "torch's version was 1.12.0"),
        ("convsmith", "0.0.1", "convsmith's version was 0.0.1"),
        ("cpu_features", "avx", "instruction sets was avx"),
        ("data", "0" * 32, "the training images was 0000"),
        ("device", "NVIDIA T4 (7.5)", "the device was NVIDIA T4"),
    ],
)
def test_a_changed_environment_refuses_the_resume_with_its_reason(
    monkeypatch, tmp_path, key, value, said
):
    run = stopped_at(monkeypatch, tmp_path, 3)
    stored = json.loads((run / "environment.json").read_text())
    stored["exact"][key] = value
    (run / "environment.json").write_text(json.dumps(stored))
    with pytest.raises(ResumeError, match=said):
        resume(run)
    assert resume(run, inexact=True).results.steps == 51


def test_the_number_of_threads_is_restored(monkeypatch, tmp_path):
    run = stopped_at(monkeypatch, tmp_path, 23)
    torch.set_num_threads(1)
    resume(run)
    assert torch.get_num_threads() == 2


def test_a_recipe_that_was_changed_is_another_run(monkeypatch, tmp_path):
    run = stopped_at(monkeypatch, tmp_path, 3)
    text = (run / "recipe.yaml").read_text()
    (run / "recipe.yaml").write_text(text.replace("epochs: 3", "epochs: 4"))
    with pytest.raises(ResumeError, match="the recipe was"):
        resume(run)
    (run / "recipe.yaml").write_text("# a remark\n" + text)
    assert resume(run).results.epochs == 3


@pytest.mark.parametrize("content", ["{}", "[]", "{", '{"classes": 3, "test": 4}'])
def test_files_that_somebody_changed_are_named(finished, tmp_path, content):
    run = tmp_path / "run"
    shutil.copytree(finished.path, run)
    for name in ("results.json", "model.json", "environment.json"):
        (run / name).write_text(content)
    for name, use in (
        ("results.json", lambda: convsmith.open_run(run).results),
        ("model.json", lambda: convsmith.load(run)),
        ("environment.json", lambda: convsmith.evaluate(run)),
    ):
        with pytest.raises(DamagedError, match=name):
            use()


def test_networks_and_data_of_a_wrong_kind_are_said(tmp_path):
    for given in ({"model": 3}, {"data": 3}, {"data": [torch.ones(2)]}):
        with pytest.raises(UserError, match=r"must be a .* not a (int|list)"):
            convsmith.train("digits", runs=tmp_path, progress="none", **given)
    assert not list(tmp_path.iterdir())


def test_a_resume_takes_no_recipe(finished):
    for given in (
        {"epochs": 5},
        {"recipe": "digits"},
        {"name": "x"},
        {"model": "mlp"},
        {"data": "mnist"},
    ):
        with pytest.raises(UserError, match="keeps its recipe"):
            convsmith.train(resume=finished.path, progress="none", **given)


def test_a_run_in_use_is_not_touched(finished):
    with finished.folder.locked(), pytest.raises(RunError, match="in use"):
        resume(finished.path)


def test_a_warm_start_begins_with_the_other_runs_weights(finished, tmp_path):
    warm = small(tmp_path, start_from=finished.path, max_steps=1, learning_rate=1e-6)
    cold = small(tmp_path, "cold", max_steps=1, learning_rate=1e-6)
    assert warm.results.test.top1 == pytest.approx(finished.results.test.top1, abs=0.02)
    assert cold.results.test.top1 < 0.5
    assert warm.results.steps == 1


def test_a_warm_start_from_another_shape_is_refused(finished, tmp_path):
    with pytest.raises(UserError, match="do not fit"):
        small(tmp_path, start_from=finished.path, recipe="digits")


def test_early_stopping_ends_the_run_and_keeps_the_best_weights(tmp_path):
    recipe = SMALL | {"optimizer": {"name": "sgd", "learning_rate": 0.2}}
    recipe["train"] = SMALL["train"] | {
        "epochs": 60,
        "early_stopping": {"metric": "loss", "patience": 2},
    }
    run = small(tmp_path, recipe=recipe)
    losses = [event["val"]["loss"] for event in run.metrics if event["event"] == "epoch"]
    assert len(losses) < 60
    assert run.results.best_epoch == len(losses) - 2 == losses.index(min(losses)) + 1
    assert run.results.weights == "best"
    assert run.results.val.loss == min(losses)


def test_training_on_everything_says_so(tmp_path):
    run = small(tmp_path, validation=0, max_steps=3)
    assert run.results.trained_on_all
    assert run.results.val is None
    with pytest.raises(UserError, match="no validation part"):
        convsmith.evaluate(run.path, split="validation")


def test_a_training_that_diverges_names_the_layer_and_the_ways_out(tmp_path):
    with pytest.raises(NonFiniteError, match=r"in the (output|gradient) .*learning rate"):
        small(tmp_path, learning_rate=1e30)
    checkpoint = sorted((tmp_path / "run" / "checkpoints").iterdir())[-1]
    assert checkpoint.name == "step-00000000"


def test_a_rollback_lowers_the_rate_and_goes_on_and_is_logged(tmp_path):
    rule = {"action": "rollback", "rate_factor": 1e-31, "at_most": 2}
    recipe = SMALL | {"train": SMALL["train"] | {"on_nonfinite": rule}}
    run = small(tmp_path, recipe=recipe, learning_rate=1e30)
    rollbacks = [event for event in run.metrics if event["event"] == "rollback"]
    assert len(rollbacks) == 1
    assert rollbacks[0]["to"] == 0
    assert run.results.test.top1 > 0.5
    rates = {event["learning_rate"] for event in run.metrics if event["event"] == "step"}
    assert sorted(rates) == pytest.approx([0.1])


def test_rolling_back_gives_up_after_so_many_times(tmp_path):
    rule = {"action": "rollback", "rate_factor": 0.5, "at_most": 2}
    recipe = SMALL | {"train": SMALL["train"] | {"on_nonfinite": rule}}
    with pytest.raises(NonFiniteError, match="after 2 rollbacks"):
        small(tmp_path, recipe=recipe, learning_rate=1e30)


def test_ones_own_network_and_tensors_are_trained(tmp_path):
    draw = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 3, (300,), generator=draw)
    images = torch.randint(0, 100, (300, 2, 6, 6), dtype=torch.uint8, generator=draw)
    images[torch.arange(300), :, labels * 2] += 120
    data = convsmith.own_source(
        (images, labels), (images[:60], labels[:60]), classes=["a", "b", "c"]
    )
    network = nn.Sequential(nn.Flatten(), nn.Linear(72, 3))
    run = small(tmp_path, model=network, data=data, epochs=20, batch_size=32)
    assert run.results.test.top1 > 0.95
    with pytest.raises(UserError, match="module="):
        convsmith.load(run.path)
    fresh = nn.Sequential(nn.Flatten(), nn.Linear(72, 3))
    loaded = convsmith.load(run.path, module=fresh)
    guesses = loaded.probabilities(images[:60]).argmax(1)
    assert float((guesses == labels[:60]).double().mean()) == run.results.test.top1
    again = convsmith.evaluate(run.path, model=nn.Sequential(*fresh), data=data)
    assert again.score == run.results.test


def test_ones_own_run_cannot_be_evaluated_without_its_data(tmp_path):
    images, labels = torch.zeros(40, 1, 4, 4, dtype=torch.uint8), torch.arange(40) % 2
    data = convsmith.own_source((images, labels), (images, labels))
    run = small(tmp_path, model="mlp", data=data, max_steps=1)
    with pytest.raises(DataError, match="own"):
        convsmith.evaluate(run.path)


def test_a_class_without_a_test_image_does_not_spoil_the_results(tmp_path):
    images, labels = torch.zeros(40, 1, 4, 4, dtype=torch.uint8), torch.arange(40) % 2
    data = convsmith.own_source((images, labels), (images[::2], labels[::2]))
    run = small(tmp_path, model="mlp", data=data, max_steps=1)
    assert 0 <= run.results.per_class.min <= 1


def test_a_mistake_that_only_the_data_shows_leaves_no_run_behind(tmp_path):
    recipe = SMALL | {"loss": {"name": "cross_entropy", "class_weights": (1.0, 2.0)}}
    with pytest.raises(UserError, match="2 weights for 10 classes"):
        small(tmp_path, recipe=recipe)
    assert not (tmp_path / "run").exists()


def test_nothing_to_train_is_one_clear_error():
    with pytest.raises(UserError, match="say what to train"):
        convsmith.train()


def test_a_full_disk_is_said_with_the_way_on(finished, monkeypatch, tmp_path):
    original, calls = drive.save_checkpoint, []

    def full(*arguments):
        calls.append(1)
        if len(calls) == 3:
            raise OSError(28, "No space left on device")
        return original(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(drive, "save_checkpoint", full)
        with pytest.raises(
            WriteError, match="No space left on device; once that is mended: convsmith"
        ):
            small(tmp_path)
    assert resume(tmp_path / "run").results.test == finished.results.test


def test_auto_precision_is_measured_before_step_0_and_never_again(monkeypatch, tmp_path):
    recipe = SMALL | {"train": SMALL["train"] | {"precision": "auto", "memory_format": "auto"}}
    run = stopped_at(monkeypatch, tmp_path, 3, recipe=recipe)
    monkeypatch.setattr(train, "resolve", lambda *_: pytest.fail("measured again"))
    done = resume(run)
    assert done.recipe.train.precision in ("fp32", "bf16")
    assert done.recipe.train.memory_format in ("contiguous", "channels_last")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ValueError("a bug of the page"), "the page could not be made, please report it"),
        (WriteError("cannot write it: disk full"), "the page is left as it was: cannot write"),
    ],
)
def test_a_page_that_fails_costs_no_training(tmp_path, monkeypatch, capsys, error, said):
    def fail(run):
        raise error

    monkeypatch.setattr("convsmith.api.drive.write_report", fail)
    run = convsmith.train("digits", epochs=1, runs=tmp_path, progress="lines")
    assert run.finished
    assert said in capsys.readouterr().err
    resume(run.path)


@pytest.mark.parametrize("outputs", [3, 12])
def test_a_network_of_ones_own_that_does_not_fit_leaves_no_run(tmp_path, outputs):
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, outputs))
    with pytest.raises(UserError, match=rf"must return \(2, 10\) logits .* \(2, {outputs}\)"):
        convsmith.train("digits", model=net, runs=tmp_path, progress="none")
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_kind_of_progress_is_said(tmp_path):
    with pytest.raises(UserError, match="progress must be auto, bars, lines or none"):
        convsmith.train("digits", runs=tmp_path, progress="loud")


@pytest.mark.parametrize(
    ("recipe", "options", "said"),
    [
        (5, {}, "recipe must be a name, a file or a mapping, not a int"),
        ("digits", {"runs": 5}, "runs must be a path"),
        ("digits", {"data_root": 5}, "data_root must be a path"),
        ("digits", {"start_from": 5}, "start_from must be a path"),
        ("digits", {"name": 5}, "name must be a text"),
        (None, {"resume": 5}, "resume must be a path"),
        (
            "digits",
            {"sets": "train.epochs=1"},
            'sets must be a list of texts: \\["train.epochs=1"\\]',
        ),
    ],
)
def test_arguments_of_the_wrong_kind_are_said(recipe, options, said):
    with pytest.raises(UserError, match=said):
        convsmith.train(recipe, progress="none", **options)


def test_numbers_of_numpy_are_numbers(tmp_path):
    run = convsmith.train("digits", epochs=numpy.int64(1), runs=tmp_path, progress="none")
    assert run.results.epochs == 1
    model = convsmith.load(run.path)
    with pytest.raises(UserError, match="takes an image file or a Pillow image, not a int"):
        model.predict(5)
    with pytest.raises(UserError, match="top must be at least 1, got 0"):
        model.predict("x.png", top=0)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "is damaged: there is no such file"),
        ("a: [", "is damaged: 1: YAML: expected"),
        ("data: {source: digits}", "is damaged: model: is missing"),
    ],
)
def test_a_damaged_recipe_of_a_run_is_no_mistake_of_the_users(finished, tmp_path, content, said):
    place = shutil.copytree(finished.path, tmp_path / "run")
    (place / "recipe.yaml").unlink()
    if content is not None:
        (place / "recipe.yaml").write_text(content)
    with pytest.raises(DamagedError, match=rf"recipe\.yaml {re.escape(said)}"):
        convsmith.evaluate(place)


def test_a_warm_start_killed_before_its_first_step_begins_with_those_weights(
    finished, tmp_path, monkeypatch
):
    whole = small(tmp_path, "whole", start_from=finished.path)
    with monkeypatch.context() as patch:
        patch.setattr(train, "drive", die)
        with pytest.raises(RuntimeError, match="killed"):
            small(tmp_path, start_from=finished.path)
    run = resume(tmp_path / "run")
    files = [(each.path / "weights.safetensors").read_bytes() for each in (whole, run)]
    assert files[0] == files[1]
    assert whole.results.test != finished.results.test


def test_the_speed_of_a_run_resumed_at_its_end_is_what_was_logged(monkeypatch, tmp_path):
    run = stopped_at(monkeypatch, tmp_path, 48)
    assert resume(run).results.images_per_second > 100


@pytest.mark.parametrize(("raised", "code"), [(KeyboardInterrupt, 130), (Terminated, 143)])
def test_stopped_while_it_finishes_a_run_says_how_to_go_on(
    finished, monkeypatch, tmp_path, raised, code
):
    def stop(*arguments):
        raise raised

    with monkeypatch.context() as patch:
        patch.setattr("convsmith.api.finish.measure", stop)
        with pytest.raises(Interrupted, match="to go on: convsmith train --resume") as caught:
            small(tmp_path)
    assert caught.value.exit_code == code
    assert resume(tmp_path / "run").results.test == finished.results.test


def test_weights_are_for_those_whom_the_rest_of_the_run_is_for(tmp_path):
    before = os.umask(0o077)
    try:
        run = convsmith.train("digits", epochs=1, runs=tmp_path, progress="none")
    finally:
        os.umask(before)
    assert {oct(path.stat().st_mode & 0o777) for path in run.path.glob("*.*")} == {"0o600"}


@pytest.mark.parametrize("settings", [("1", "1"), ("64", "64")])
def test_micro_batches_too_small_for_batch_normalisation_are_told_at_once(settings, tmp_path):
    batch, parts = settings
    sets = (f"train.batch_size={batch}", f"train.accumulate={parts}", "train.precision=fp32")
    with pytest.raises(UserError, match="vgg_bn cannot be trained on one image at a time"):
        convsmith.train("digits", model="vgg_bn", runs=tmp_path, progress="none", sets=sets)
    assert list(tmp_path.iterdir()) == []


def test_the_best_weights_are_kept_even_where_the_last_are_used(tmp_path, monkeypatch):
    # On any machine the second of three epochs shall be the best.
    monkeypatch.setattr(
        EarlyStopping, "_is_better", lambda watch, value: watch.best_epoch in (None, 1)
    )
    last = small(tmp_path, "last")
    best = small(tmp_path, "best", sets=("train.keep=best",))
    assert last.results.best_epoch == best.results.best_epoch < 3
    kept = load_file(last.path / "best.safetensors")
    chosen = load_file(best.path / "weights.safetensors")
    assert all(torch.equal(kept[name], chosen[name]) for name in chosen)
    used = load_file(last.path / "weights.safetensors")
    assert not any(torch.equal(kept[name], used[name]) for name in used if "weight" in name)
    assert not (best.path / "best.safetensors").exists()


def test_a_run_of_ones_own_network_asks_for_it(tmp_path, monkeypatch):
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    with monkeypatch.context() as patch:
        Stopping(patch, 3)
        with pytest.raises(Interrupted):
            small(tmp_path, model=net)
    with pytest.raises(UserError, match="trained a network of your own: pass it as `model=`"):
        resume(tmp_path / "run")
    resume(tmp_path / "run", model=nn.Sequential(nn.Flatten(), nn.Linear(64, 10)))
    with pytest.raises(UserError, match="trained a network of your own: pass it as `model=`"):
        convsmith.evaluate(tmp_path / "run")


def test_other_test_images_are_not_what_was_measured(tmp_path):
    pixels = torch.randint(0, 256, (60, 1, 8, 8), dtype=torch.uint8)
    labels = torch.arange(60) % 10
    data = convsmith.own_source((pixels, labels), (pixels[:20], labels[:20]))
    other = convsmith.own_source((pixels, labels), (pixels[20:40], labels[20:40]))
    run = convsmith.train("digits", data=data, epochs=1, runs=tmp_path, progress="none")
    assert convsmith.evaluate(run.path, data=data).score == run.results.test
    with pytest.raises(ResumeError, match="the test images are not those that it was measured on"):
        convsmith.evaluate(run.path, data=other)


def test_limits_of_the_instruction_set_are_noticed(monkeypatch, tmp_path):
    run = stopped_at(monkeypatch, tmp_path, 3)
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "SSE41")
    with pytest.raises(ResumeError, match=r"what limits the instruction sets was \{\} and is"):
        resume(run)


def test_looking_leaves_the_threads_as_they_were(finished):
    torch.set_num_threads(1)
    convsmith.evaluate(finished.path)
    assert torch.get_num_threads() == 1
    with pytest.raises(UserError, match="split must be train, validation or test, not 'tset'"):
        convsmith.evaluate(finished.path, "tset")
    with pytest.raises(UserError, match="run must be a path or a name, not a NoneType"):
        convsmith.load(None)


def test_a_finished_run_resumed_has_its_page(finished, tmp_path):
    run = shutil.copytree(finished.path, tmp_path / "run")
    (run / "report.html").unlink()
    resume(run)
    assert "report.html" in {path.name for path in run.iterdir()}


def test_steps_that_take_long_are_shown_though_they_are_not_logged(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(drive, "SHOW_EVERY", 0)
    monkeypatch.setattr("convsmith.api.progress.Lines.__init__.__defaults__", (0,))
    recipe = SMALL | {"train": SMALL["train"] | {"log_every": 1000}}
    run = convsmith.train(recipe, runs=tmp_path, progress="lines")
    assert "epoch 1/3  step 2/" in capsys.readouterr().err
    assert {event["event"] for event in run.metrics} == {"epoch"}
