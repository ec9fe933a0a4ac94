import json

from tests.reporting.builders import epoch, make_run, write_events

from convsmith.reporting.history import read_history


def test_epochs_and_readings_are_read_in_order(tmp_path):
    history = read_history(make_run(tmp_path, "run"))
    assert [each.epoch for each in history.epochs] == [1, 2, 3]
    assert [each.step for each in history.readings] == [5, 10, 15, 20, 25, 30]
    assert history.epochs[1].val_loss == 0.75
    assert history.readings[0].memory_bytes == 2**29
    assert (history.epochs_done, history.steps_done, history.damaged) == (3, 30, 0)


def test_what_a_rollback_undid_is_left_out(tmp_path):
    run = make_run(tmp_path, "run")
    back = {"event": "rollback", "step": 27, "to": 12, "where": "in layer 3"}
    write_events(run, [*epoch(1), *epoch(2), *epoch(3), back, *epoch(2, loss=9.0)])
    history = read_history(run)
    assert [(each.epoch, each.train_loss) for each in history.epochs] == [(1, 1.0), (2, 9.0)]
    assert [each.step for each in history.readings] == [5, 10, 15, 20]
    assert [(each.step, each.to, each.where) for each in history.rollbacks] == [
        (27, 12, "in layer 3")
    ]


def test_damaged_lines_are_counted_and_a_line_being_written_is_not(tmp_path):
    run = make_run(tmp_path, "run")
    good = run.metrics.read_bytes()
    odd = [b"{", b"[1]", b"\xff\xfe", b'{"event": "step"}', b"[" * 100_000, b'{"step": "7"}']
    run.metrics.write_bytes(b"\n".join(odd) + b"\n" + good + b'{"event": "st')
    history = read_history(run)
    assert history.damaged == len(odd)
    assert history.epochs_done == 3


def test_values_that_are_no_numbers_are_missing(tmp_path):
    run = make_run(tmp_path, "run")
    odd = [None, "x", True, [1], {}, 10**400]
    events = [{"event": "step", "step": at, "loss": value} for at, value in enumerate(odd)]
    events.append({"event": "epoch", "epoch": 1, "step": 9, "train": None, "val": "x"})
    run.metrics.write_text(
        "".join(json.dumps(event) + "\n" for event in events)
        + '{"event": "step", "step": 8, "loss": NaN, "learning_rate": Infinity}\n'
        + '{"event": "something new", "step": 9}\n'
    )
    history = read_history(run)
    assert {reading.loss for reading in history.readings} == {None}
    assert history.epochs[0].train_loss is None
    assert history.damaged == 0


def test_no_metrics_are_an_empty_history(tmp_path):
    run = make_run(tmp_path, "run")
    run.metrics.unlink()
    history = read_history(run)
    assert (history.epochs, history.readings, history.epochs_done) == ((), (), 0)
