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
        "train": {"clip_norm": 1.0, "checkpoint": {"every_seconds": 0.2}},
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
    "train": {"epochs": 8, "batch_size": 32, "precision": "bf16", "log_every": 4},
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
    spawn = multiprocessing.get_context("forkserver")
    spawn.set_forkserver_preload(["convsmith.api.train", "convsmith"])
    return spawn


def start(context, recipe, resume, runs):
    child = context.Process(target=train_in_child, args=(recipe, resume, runs))
    child.start()
    return child


def outcome(run):
    """Everything of a finished run that must not depend on how often it was interrupted."""
    results = json.loads((run / "results.json").read_text())
    timed = ("seconds", "images_per_second", "eval_images_per_second", "peak_memory_bytes", "run")
    events = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    volatile = ("seconds", "images_per_second", "memory_bytes")
    return {
        "weights": (run / "weights.safetensors").read_bytes(),
        "results": {key: value for key, value in results.items() if key not in timed},
        "metrics": [{k: v for k, v in e.items() if k not in volatile} for e in events],
    }


@pytest.mark.timeout(240)
@pytest.mark.parametrize("name", EXPERIMENTS)
def test_a_run_killed_again_and_again_ends_bit_identical(context, tmp_path, name):
    recipe = experiment(name)
    began = time.perf_counter()
    child = start(context, recipe, None, tmp_path / "straight")
    child.join()
    assert child.exitcode == 0
    straight = outcome(tmp_path / "straight" / "run")
    seconds = json.loads((tmp_path / "straight/run/results.json").read_text())["seconds"]
    starting = time.perf_counter() - began - seconds

    chance, run, kills = random.Random(name), tmp_path / "killed" / "run", 0
    child = start(context, recipe, None, run.parent)
    while kills < KILLS_EACH:
        alive_for = starting + chance.uniform(0, 0.9) * seconds / KILLS_EACH
        deadline = time.perf_counter() + alive_for
        # every other kill falls into the writing of a checkpoint
        aim = kills % 2 == 1
        while child.is_alive() and time.perf_counter() < deadline:
            if aim and run.exists() and list(run.glob("checkpoints/.step-*.writing")):
                break
            time.sleep(0.001)
        if not child.is_alive():
            break
        child.kill()
        child.join()
        kills += 1
        resume = run if run.exists() else None
        child = start(context, None if resume else recipe, resume, run.parent)
    child.join()
    assert child.exitcode == 0
    assert kills == KILLS_EACH, "the run ended before it was killed often enough"
    killed = outcome(run)
    assert killed["metrics"] == straight["metrics"]
    assert killed["results"] == straight["results"]
    assert killed["weights"] == straight["weights"]
