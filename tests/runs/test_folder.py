import errno
import os
import subprocess
import sys
import threading

import pytest

from convsmith.errors import RunError
from convsmith.runs.folder import RunFolder, find_runs_folder, write_atomically


def create(runs, name=None):
    return RunFolder.create(runs, "mnist", "seed: 0\n", {"exact": {}}, name)


def test_runs_are_numbered_and_hold_their_recipe_from_the_start(tmp_path):
    first, second = create(tmp_path), create(tmp_path)
    assert (first.path.name, second.path.name) == ("mnist-1", "mnist-2")
    assert first.recipe.read_text() == "seed: 0\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mnist-1", "mnist-2"]


def test_a_taken_name_and_an_odd_name_are_refused(tmp_path):
    create(tmp_path, "mine")
    with pytest.raises(RunError, match="mine exists"):
        create(tmp_path, "mine")
    for odd in ("../up", "a/b", "", ".hidden", "a b"):
        with pytest.raises(RunError, match="name"):
            create(tmp_path, odd)


def test_an_unwritable_place_is_one_clear_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot make a run"):
        create(tmp_path / "file" / "runs")


def test_a_run_is_found_by_path_and_by_name_and_a_near_name_is_offered(tmp_path):
    run = create(tmp_path, "lantern")
    assert RunFolder.open(run.path).path == run.path
    assert RunFolder.open("lantern", tmp_path).path == run.path
    with pytest.raises(RunError, match=r"did you mean `lantern`"):
        RunFolder.open("lantren", tmp_path)
    with pytest.raises(RunError, match="is a file"):
        RunFolder.open(run.recipe)


def test_another_format_and_a_broken_header_are_refused(tmp_path):
    run = create(tmp_path)
    (run.path / "run.json").write_text('{"format": 99}')
    with pytest.raises(RunError, match="format 99"):
        RunFolder.open(run.path)
    (run.path / "run.json").write_text("{")
    with pytest.raises(RunError, match="cannot be read"):
        RunFolder.open(run.path)


HOLDER = """
import sys
from convsmith.runs.folder import RunFolder
with RunFolder.open(sys.argv[1]).locked():
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_lock_keeps_other_processes_out_and_dies_with_its_holder(tmp_path):
    run = create(tmp_path)
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(run.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with holder:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(RunError, match="in use"), run.locked():
            pass
        holder.kill()
    with run.locked():
        pass


def test_the_folder_of_runs_comes_from_the_option_then_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("CONVSMITH_RUNS", str(tmp_path / "env"))
    assert find_runs_folder(tmp_path / "option") == tmp_path / "option"
    assert find_runs_folder() == tmp_path / "env"
    monkeypatch.delenv("CONVSMITH_RUNS")
    assert str(find_runs_folder()) == "runs"


def test_who_is_only_looking_is_waited_for(tmp_path):
    run = RunFolder.create(tmp_path, "run", "", {}, "run")
    held, over = threading.Event(), threading.Event()

    def look():
        with run.locked():
            held.set()
            over.wait(5)

    looking = threading.Thread(target=look)
    looking.start()
    held.wait(5)
    with pytest.raises(RunError, match="in use"), run.locked(patience=0.05):
        pass
    threading.Timer(0.1, over.set).start()
    with run.locked(patience=5):
        assert over.is_set()
    looking.join()


def test_threads_make_runs_beside_one_another(tmp_path):
    made = []

    def make():
        for _ in range(20):
            made.append(create(tmp_path))

    threads = [threading.Thread(target=make) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {run.path.name for run in made} == {f"mnist-{n}" for n in range(1, 81)}
    assert len(list(tmp_path.iterdir())) == 80


def test_a_run_appears_with_what_it_begins_with_or_not_at_all(tmp_path):
    run = RunFolder.create(tmp_path, "r", "", {}, begin=lambda run: run.checkpoints.mkdir())
    assert run.checkpoints.is_dir()

    def fails(run):
        raise ValueError("ours")

    with pytest.raises(ValueError, match="ours"):
        RunFolder.create(tmp_path, "r", "", {}, begin=fails)
    assert [path.name for path in tmp_path.iterdir()] == ["r-1"]


def test_what_a_killed_process_left_goes_after_a_day(tmp_path):
    old, new = tmp_path / ".new-1-a", tmp_path / ".new-2-b"
    for draft in (old, new):
        draft.mkdir()
    os.utime(old, (0, 0))
    create(tmp_path)
    assert not old.exists()
    assert new.exists()


def test_one_file_may_be_written_by_several_at_once(tmp_path):
    failures = []

    def write(text):
        try:
            for _ in range(50):
                write_atomically(tmp_path / "page", text)
        except OSError as error:
            failures.append(error)

    threads = [threading.Thread(target=write, args=(letter * 1000,)) for letter in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(set((tmp_path / "page").read_text())) == 1
    assert len(list(tmp_path.iterdir())) == 1


def test_a_full_disk_names_the_file_and_leaves_nothing(tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left") as raised:
        write_atomically(tmp_path / "page", "text")
    assert raised.value.filename == str(tmp_path / "page")
    assert list(tmp_path.iterdir()) == []
