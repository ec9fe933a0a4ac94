import json
import math

import pytest

from convsmith.errors import DamagedError
from convsmith.runs.folder import RunFolder
from convsmith.runs.journal import Journal, read_metrics


def test_events_are_json_objects_and_a_cut_removes_the_later_ones(tmp_path):
    run = RunFolder.create(tmp_path, "r", "", {}, None)
    with Journal(run) as journal:
        journal.record("step", step=1, loss=0.5)
        size = journal.flushed_size()
        journal.record("step", step=2, loss=math.nan, nested={"x": math.inf})
    assert read_metrics(run.metrics)[1] == {
        "event": "step",
        "step": 2,
        "loss": None,
        "nested": {"x": None},
    }
    with Journal(run) as journal:
        journal.cut(size, 3)
        journal.record("step", step=3)
    assert [event["step"] for event in read_metrics(run.metrics)] == [1, 3]
    assert all(json.loads(line) for line in run.metrics.read_text().splitlines())


def test_a_line_cut_off_by_a_crash_is_left_out(tmp_path):
    file = tmp_path / "metrics.jsonl"
    file.write_text('{"event": "step"}\n{"event": "st')
    assert read_metrics(file) == [{"event": "step"}]
    assert read_metrics(tmp_path / "none.jsonl") == []


@pytest.mark.parametrize("line", ["{", "null", "[1]", "3", '{"step": 1}'])
def test_a_line_that_is_no_event_is_damage(tmp_path, line):
    file = tmp_path / "metrics.jsonl"
    file.write_text('{"event": "step"}\n' + line + "\n")
    with pytest.raises(DamagedError, match=r"metrics\.jsonl:2 is not as convsmith wrote it"):
        read_metrics(file)


def test_the_plain_log_has_the_time(tmp_path):
    run = RunFolder.create(tmp_path, "r", "", {}, None)
    with Journal(run) as journal:
        journal.say("hello")
    assert run.log.read_text().endswith("  hello\n")
    assert run.log.read_text()[:4].isdigit()
