"""Runs are killed for real, at random moments, and must end with the same bits all the same."""

import json
import multiprocessing
import random
import time

import pytest

import convsmith

# Between them: every kind of optimizer state, the moving average, accumulation, the loss scaler,
# early stopping with its best weights, dropout, augmentation and every cadence of checkpoints.
EXPERIMENTS = {
    "sgd": {
        "optimizer": {"name": "nesterov", "learning_rate": 0.05},
        "train": {"ema": 0.98, "accumulate": 2, "checkpoint": {"every_steps": 3}},
    },
    "adamw": {
        "optimizer": {"name": "adamw", "learning_rate": 0.002},
        "train": {
            "early_stopping": {"metric": "loss", "patience": 2},
            "checkpoint": {"every_epochs": 1},
        },
    },
    "muon": {
        "optimizer": {"name": "muon"},
        "train": {
            "clip_norm": 1.0,
            "gradient_checkpointing": "all",
            "checkpoint": {"every_seconds": 0.2},
        },
    },
    "fp16": {
        "optimizer": {"name": "adam", "learning_rate": 0.002},
        "train": {"precision": "fp16", "checkpoint": {"every_steps": 5, "keep": 3}},
    },
}
COMMON = {
    "data": {"source": "digits", "validation": 0.2, "augment": {"crop": 1, "rotation": 8}},
    "model": {"name": "digits_cnn", "dropout": 0.2},
    "schedule": {"name": "one_cycle"},
    "train": {"epochs": 6, "batch_size": 32, "precision": "bf16", "log_every": 4},
}
KILLS_EACH = 6


def experiment(name):
    """Return a whole recipe: what is common with what is special, section by section."""
    special = EXPERIMENTS[name]
    sections = COMMON.keys() | special.keys()
    return {key: COMMON.get(key, {}) | special.get(key, {}) for key in sections}


def train_in_child(recipe, resume, runs):
    convsmith.train(
        recipe, resume=resume, name=None if resume else "run", runs=runs, progress="none"
    )


@pytest.fixture(scope="module")
def context():
    """A process that has imported everything once and forks a child for every start."""
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload(["convsmith.api.train", "convsmith"])
    return server


def start(context, recipe, resume, runs):
    child = context.Process(target=train_in_child, args=(recipe, resume, runs))
    child.start()
    return child


def outcome(run):
    """Everything of a finished run that must not depend on how often it was interrupted."""
    results = json.loads((run / "results.json").read_text())
    timed = ("seconds", "images_per_second", "eval_images_per_second", "peak_memory_bytes", "run")
    events = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    volatile = ("seconds", "images_per_second")
    last = max((run / "checkpoints").glob("step-*"))
    fields = json.loads((last / "fields.json").read_text())
    return {
        "checkpoint": (last / "tensors.safetensors").read_bytes(),
        "fields": {k: v for k, v in fields.items() if k not in ("seconds", "metrics_bytes")},
        "weights": (run / "weights.safetensors").read_bytes(),
        "results": {key: value for key, value in results.items() if key not in timed},
        "metrics": [
            {k: v for k, v in e.items() if k not in volatile and not k.startswith("memory_")}
            for e in events
        ],
    }


def steps_done(run):
    """Return how far a run has come by its log."""
    metrics = run / "metrics.jsonl"
    if not metrics.exists():
        return 0
    lines = metrics.read_text().splitlines(keepends=True)
    whole = [json.loads(line) for line in lines[-2:] if line.endswith("\n")]
    return max((event.get("step", 0) for event in whole), default=0)


def wait_for(condition, child, seconds):
    """Wait until the condition holds, the child has ended or the time is over."""
    deadline = time.perf_counter() + seconds
    while not condition() and child.is_alive() and time.perf_counter() < deadline:
        time.sleep(0.001)


@pytest.mark.timeout(240)
@pytest.mark.parametrize("name", EXPERIMENTS)
def test_a_run_killed_again_and_again_ends_bit_identical(context, tmp_path, name):
    recipe = experiment(name)
    child = start(context, recipe, None, tmp_path / "straight")
    child.join()
    assert child.exitcode == 0
    straight = outcome(tmp_path / "straight" / "run")
    steps = straight["results"]["steps"]

    # The first kill falls into the start, the others anywhere in their share of the run; every
    # other one into the writing of a checkpoint.
    chance, run = random.Random(name), tmp_path / "killed" / "run"
    child, halves = start(context, recipe, None, run.parent), 0
    for kill in range(KILLS_EACH):
        target = round(steps * (kill - chance.random()) / KILLS_EACH)
        wait_for(lambda target=target: steps_done(run) >= target, child, 60)
        if kill % 2:
            wait_for(lambda: any(run.glob("checkpoints/.step-*.writing")), child, 2)
        else:
            time.sleep(chance.uniform(0, 0.05))
        assert child.is_alive(), "the run ended before it was killed often enough"
        child.kill()
        child.join()
        halves += any(run.glob("checkpoints/.step-*.writing"))
        resume = run if run.exists() else None
        child = start(context, None if resume else recipe, resume, run.parent)
    child.join()
    assert child.exitcode == 0
    assert halves > 0, "no kill fell into the writing of a checkpoint"
    killed = outcome(run)
    assert killed["metrics"] == straight["metrics"]
    assert killed["results"] == straight["results"]
    assert killed["fields"] == straight["fields"]
    for file in ("weights", "checkpoint"):
        assert killed[file] == straight[file], file
