"""No field of a checkpoint can be lost or wrong unnoticed."""

import json
import os
import shutil
import signal

import pytest
import torch

import convsmith
from convsmith.api import drive
from convsmith.errors import CheckpointError, Interrupted
from convsmith.training.checkpoint import load_checkpoint, save_checkpoint

# Everything that a checkpoint can hold is in this one.
RECIPE = {
    "data": {"source": "digits", "validation": 0.2, "augment": {"crop": 1}},
    "model": {"name": "digits_cnn", "widths": (8, 16), "dropout": 0.1},
    "optimizer": {"name": "adamw", "learning_rate": 0.01},
    "schedule": {"name": "one_cycle"},
    "train": {
        "epochs": 4,
        "batch_size": 64,
        "precision": "fp16",
        "ema": 0.9,
        "memory_format": "channels_last",
        "early_stopping": {"metric": "top1", "patience": 3},
        "on_nonfinite": "rollback",
        "log_every": 5,
        "checkpoint": {"every_epochs": 4, "every_seconds": None, "keep": 1},
    },
}
STOP = 2 * 17 + 5  # in the third epoch


def stop_at(monkeypatch):
    original = drive.PaceKeeper.step

    def stop(keeper, event):
        if event.step == STOP:
            os.kill(os.getpid(), signal.SIGTERM)
        original(keeper, event)

    monkeypatch.setattr(drive.PaceKeeper, "step", stop)


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """The folder of a run that was stopped in its third epoch."""
    runs = tmp_path_factory.mktemp("stopped")
    with pytest.MonkeyPatch.context() as patch:
        stop_at(patch)
        with pytest.raises(Interrupted):
            convsmith.train(RECIPE, name="run", runs=runs, progress="none")
    return runs / "run"


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """What the uninterrupted run came to."""
    runs = tmp_path_factory.mktemp("straight")
    return outcome(convsmith.train(RECIPE, name="run", runs=runs, progress="none").path)


def outcome(run):
    tensors, fields = load_checkpoint(max((run / "checkpoints").glob("step-*")))
    events = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    results = json.loads((run / "results.json").read_text())
    kept = {
        "metrics": [
            {k: v for k, v in event.items() if k in ("event", "step", "loss", "top1", "train")}
            for event in events
        ],
        "fields": {k: v for k, v in fields.items() if k not in ("seconds", "metrics_bytes")},
        "tensors": {name: tensor.tolist() for name, tensor in tensors.items()},
        "results": [results[key] for key in ("test", "val", "steps", "epochs", "best_epoch")],
    }
    return json.dumps(kept)


def resumed_with(stopped, place, change):
    """Resume a copy of the run whose checkpoint was changed, checksums and all."""
    run = place / "run"
    shutil.copytree(stopped, run)
    tensors, fields = load_checkpoint(max((run / "checkpoints").glob("step-*")))
    change(tensors, fields)
    save_checkpoint(run / "checkpoints", STOP, tensors, fields)
    return convsmith.train(resume=run, progress="none")


def names(mapping, prefix=""):
    """Every key, those of mappings inside it too."""
    for key, value in mapping.items():
        yield (*prefix, key)
        if isinstance(value, dict):
            yield from names(value, (*prefix, key))


def test_unchanged_it_comes_to_the_same(stopped, straight, tmp_path):
    run = resumed_with(stopped, tmp_path, lambda tensors, fields: None)
    assert outcome(run.path) == straight


def test_any_field_that_is_missing_is_refused(stopped, tmp_path):
    tensors, fields = load_checkpoint(max((stopped / "checkpoints").glob("step-*")))
    kinds = {name.split(".")[0] for name in tensors}
    assert kinds == {"model", "ema", "best", "optimizer", "epoch_sums"}
    for number, path in enumerate(names(fields)):

        def drop(tensors, fields, path=path):
            for key in path[:-1]:
                fields = fields[key]
            del fields[path[-1]]

        with pytest.raises(CheckpointError, match="every checkpoint"):
            resumed_with(stopped, tmp_path / f"field{number}", drop)


def test_any_tensor_that_is_missing_is_refused(stopped, tmp_path):
    tensors, _ = load_checkpoint(max((stopped / "checkpoints").glob("step-*")))
    for number, name in enumerate(tensors):
        with pytest.raises(CheckpointError, match="every checkpoint"):
            resumed_with(
                stopped,
                tmp_path / f"tensor{number}",
                lambda tensors, _, name=name: tensors.pop(name),
            )


FRESH = {
    "step": lambda t, f: f.update(step=f["step"] - 1),
    "epoch": lambda t, f: f.update(epoch=f["epoch"] - 1, step=f["step"] - 17),
    "rate_scale": lambda t, f: f.update(rate_scale=0.5),
    "rollbacks": lambda t, f: f.update(rollbacks=1),
    "stopping.best": lambda t, f: f["stopping"].update(best=2.0),
    "stopping.best_epoch": lambda t, f: f["stopping"].update(best=1.0, best_epoch=None),
    "stopping.waited": lambda t, f: f["stopping"].update(best=1.0, waited=2),
    "precision.scale": lambda t, f: f["precision"].update(scale=1.0),
    "precision.growth_tracker": lambda t, f: f["precision"].update(growth_tracker=0),
    "model": lambda t, f: t["model.head.weight"].zero_(),
    "running statistics": lambda t, f: t["model.stage1.1.running_mean"].zero_(),
    "ema": lambda t, f: t["ema.head.weight"].zero_(),
    "the average's age": lambda t, f: t[age(t)].zero_(),
    "momentum": lambda t, f: t["optimizer.0.exp_avg"].zero_(),
    "second moment": lambda t, f: t["optimizer.0.exp_avg_sq"].add_(1),
    "the optimizer's age": lambda t, f: t["optimizer.0.step"].zero_(),
    "epoch_sums": lambda t, f: t["epoch_sums"].zero_(),
}


def age(tensors):
    return next(name for name in tensors if name.startswith("ema.") and "updates" in name)


@pytest.mark.parametrize("field", FRESH)
def test_any_field_that_is_wrong_changes_the_outcome(stopped, straight, tmp_path, field):
    run = resumed_with(stopped, tmp_path, FRESH[field])
    assert outcome(run.path) != straight


def test_the_best_weights_are_those_of_the_checkpoint(stopped, tmp_path):
    def best_for_ever(tensors, fields):
        fields["stopping"]["best"] = 2.0
        for name, tensor in tensors.items():
            if name.startswith("best.") and tensor.is_floating_point():
                tensor.zero_()

    run = resumed_with(stopped, tmp_path, best_for_ever)
    assert torch.count_nonzero(convsmith.load(run.path).module.head.weight) == 0


def test_the_seconds_before_the_stop_are_counted(stopped, tmp_path):
    run = resumed_with(stopped, tmp_path, lambda _, fields: fields.update(seconds=5000.0))
    assert run.results.seconds > 5000
