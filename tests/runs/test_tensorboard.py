"""TensorBoard reads what a run measured, also after a resume."""

import warnings

import pytest

import convsmith
from convsmith.errors import Interrupted, UserError

KEYWORDS = {"epochs": 2, "seed": 1}
SETS = ("train.tensorboard=true", "train.log_every=5")


def read(run):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        events = EventAccumulator(str(run.path / "tensorboard"))
        events.Reload()
    return {
        name: [(event.step, event.value) for event in events.Scalars(name)]
        for name in events.Tags()["scalars"]
    }


def test_every_number_is_there_by_step(tmp_path):
    run = convsmith.train("digits", runs=tmp_path, progress="none", sets=SETS, **KEYWORDS)
    found = read(run)
    epochs = [event for event in run.metrics if event["event"] == "epoch"]
    steps = [event for event in run.metrics if event["event"] == "step"]
    for name, part, key in (("loss/train", "train", "loss"), ("top5/val", "val", "top5")):
        expected = [(event["step"], pytest.approx(event[part][key])) for event in epochs]
        assert found[name] == expected
    expected = [(event["step"], pytest.approx(event["learning_rate"])) for event in steps]
    assert found["learning rate"] == expected
    assert len(found) == 10


def test_steps_made_twice_are_there_once(tmp_path, monkeypatch):
    from convsmith.api import drive

    original = drive.end_epoch

    def dies(session, event):
        original(session, event)
        if event.epoch == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(drive, "end_epoch", dies)
        with pytest.raises(Interrupted):
            convsmith.train(
                "digits",
                runs=tmp_path,
                name="run",
                progress="none",
                sets=(*SETS, "train.checkpoint.every_epochs=1"),
                **KEYWORDS,
            )
    run = convsmith.train(resume=tmp_path / "run", progress="none")
    found = read(run)
    assert [step for step, _ in found["loss/train"]] == [20, 40]
    steps = [step for step, _ in found["loss/step"]]
    assert steps == sorted(set(steps)) == list(range(5, 41, 5))


def test_without_tensorboard_it_says_what_brings_it(tmp_path, monkeypatch):
    monkeypatch.setattr("convsmith.api.train.installed", lambda: False)
    with pytest.raises(UserError, match=r"pip install \"convsmith\[track\]\""):
        convsmith.train("digits", runs=tmp_path, progress="none", sets=SETS)
    assert not list(tmp_path.iterdir())
