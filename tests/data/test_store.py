"""Stores of decoded images: equal to decoding, made once, whole or not there, shared."""

import multiprocessing
import os
import shutil

import numpy
import pytest
import torch
from PIL import Image

from convsmith.data import store as module
from convsmith.data.decode import decode
from convsmith.data.listing import list_folder
from convsmith.data.store import VERSION, Rule, open_store, stores_of, verify_store
from convsmith.errors import DataError

RULE = Rule(3, (8, 10), "crop")


def silent(text):
    pass


@pytest.fixture
def root(tmp_path):
    """Two classes of random images of two sizes."""
    draw = numpy.random.default_rng(0)
    for label in ("a", "b"):
        (tmp_path / "images" / label).mkdir(parents=True)
        for number in range(6):
            shape = (20, 30, 3) if number % 2 else (15, 9, 3)
            image = Image.fromarray(draw.integers(0, 256, shape, dtype=numpy.uint8))
            image.save(tmp_path / "images" / label / f"{number}.png")
    return tmp_path / "images"


@pytest.fixture
def count(monkeypatch):
    """How many files were decoded."""
    done, original = [], module.decode_entry

    def counted(*arguments):
        done.append(arguments)
        return original(*arguments)

    monkeypatch.setattr(module, "decode_entry", counted)
    return done


def opened(root, stores, rule=RULE):
    return open_store(list_folder(root), rule, stores, "images", silent)


def test_every_row_is_what_decoding_gives(root, tmp_path):
    store = opened(root, tmp_path / "s")
    assert store.pixels.shape == (12, 3, 8, 10)
    for row, each in zip(store.pixels, store.images, strict=True):
        assert torch.equal(row, decode(root / each.entry.path, 3, (8, 10), "crop"))


def test_it_is_made_once(root, tmp_path, count):
    first = opened(root, tmp_path / "s")
    assert len(count) == 12
    again = opened(root, tmp_path / "s")
    assert len(count) == 12
    assert torch.equal(first.pixels, again.pixels)
    assert (first.digest, first.images) == (again.digest, again.images)


@pytest.mark.parametrize("change", ["time", "size", "new", "gone", "rule"])
def test_it_is_made_anew_when_something_changed(root, tmp_path, count, change):
    opened(root, tmp_path / "s")
    rule = RULE
    if change == "time":
        os.utime(root / "a" / "0.png", ns=(1, 1))
    elif change == "size":
        shutil.copy(root / "a" / "1.png", root / "a" / "0.png")
    elif change == "new":
        shutil.copy(root / "a" / "1.png", root / "a" / "new.png")
    elif change == "gone":
        (root / "a" / "0.png").unlink()
    else:
        rule = Rule(1, (8, 10))
    before = len(count)
    store = opened(root, tmp_path / "s", rule)
    assert len(count) - before == len(store.images) == {"new": 13, "gone": 11}.get(change, 12)
    for row, each in zip(store.pixels, store.images, strict=True):
        expected = decode(root / each.entry.path, rule.channels, rule.image_size, rule.resize)
        assert torch.equal(row, expected)


@pytest.mark.parametrize("damage", ["cut", "no index", "half an index", "other version"])
def test_half_a_store_is_none(root, tmp_path, count, damage):
    folder = opened(root, tmp_path / "s").folder
    index = folder / "index.json"
    if damage == "cut":
        os.truncate(folder / "pixels.bin", 100)
    elif damage == "no index":
        index.unlink()
    elif damage == "half an index":
        index.write_text(index.read_text()[:200])
    else:
        index.write_text(index.read_text().replace(f'"version": {VERSION}', '"version": 0'))
    store = opened(root, tmp_path / "s")
    assert len(count) == 24
    assert len(store.pixels) == 12


def test_broken_files_have_no_row_and_a_reason(root, tmp_path):
    (root / "a" / "0.png").write_bytes(b"nothing")
    (root / "b" / "5.png").write_bytes((root / "b" / "5.png").read_bytes()[:60])
    store = opened(root, tmp_path / "s")
    assert len(store.pixels) == len(store.images) == 10
    said = [str(problem) for problem in store.problems]
    assert said[0] == "a/0.png: is not an image that can be read"
    assert said[1].startswith("b/5.png: cannot be read")
    assert opened(root, tmp_path / "s").problems == store.problems  # known without decoding


def test_verifying_finds_what_size_and_time_do_not_show(root, tmp_path):
    store = opened(root, tmp_path / "s")
    assert verify_store(store.folder) == (12, [])
    path = root / "a" / "0.png"
    status, content = path.stat(), bytearray(path.read_bytes())
    content[-20] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    (root / "b" / "1.png").unlink()
    with (store.folder / "pixels.bin").open("r+b") as file:
        file.seek(50)
        file.write(b"\x00\x01\x02")
    found = [(problem.path, problem.reason) for problem in verify_store(store.folder)[1]]
    assert found == [
        (str(store.folder / "pixels.bin"), "is not as it was written"),
        ("a/0.png", "has changed since it was decoded"),
        ("b/1.png", "cannot be read: No such file or directory"),
    ]


def test_a_full_disk_is_said_before_anything_is_decoded(root, tmp_path, monkeypatch, count):
    monkeypatch.setattr(
        module.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 2**20})
    )
    with pytest.raises(DataError, match="make room"):
        opened(root, tmp_path / "s")
    assert count == []
    assert list((tmp_path / "s").iterdir()) == []


def test_an_interrupted_making_leaves_nothing(root, tmp_path, monkeypatch):
    def stop(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "decode_entry", stop)
    with pytest.raises(KeyboardInterrupt):
        opened(root, tmp_path / "s")
    assert list((tmp_path / "s").iterdir()) == []


def child(root, stores, results):
    store = opened(root, stores)
    results.put((store.digest, int(store.pixels.sum())))


def test_processes_that_make_it_at_once_get_the_same(root, tmp_path):
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    workers = [context.Process(target=child, args=(root, tmp_path / "s", results)) for _ in "ab"]
    for worker in workers:
        worker.start()
    found = [results.get(timeout=60) for _ in workers]
    for worker in workers:
        worker.join()
    assert found[0] == found[1]
    assert len(list((tmp_path / "s").iterdir())) == 1


def test_one_that_another_process_made_meanwhile_is_left_alone(root, tmp_path, monkeypatch):
    write, theirs = module.write, []

    def slow(*arguments):
        monkeypatch.setattr(module, "write", write)
        theirs.append(opened(root, tmp_path / "s").folder / "index.json")
        theirs.append(theirs[0].stat().st_ino)
        (tmp_path / "s").joinpath(f".{theirs[0].parent.name}.{os.getpid()}").mkdir()
        return write(*arguments)

    monkeypatch.setattr(module, "write", slow)
    opened(root, tmp_path / "s")
    assert theirs[0].stat().st_ino == theirs[1]  # who has just found it can map it


def test_what_a_killed_process_left_is_cleared_and_nobody_elses(root, tmp_path):
    stores = tmp_path / "s"
    folder = opened(root, stores).folder
    shutil.rmtree(folder)
    gone = multiprocessing.Process(target=silent, args=("",))
    gone.start()
    gone.join()
    left, others = (stores / f".{folder.name}.{number}" for number in (gone.pid, os.getppid()))
    left.mkdir()
    others.mkdir()
    assert opened(root, stores).folder == folder
    assert not left.exists()
    assert others.exists()


def test_two_lists_of_one_folder_have_a_store_each(root, tmp_path, count):
    lists = [list_folder(root), list_folder(root)]
    lists[1].entries.reverse()
    stores = [open_store(each, RULE, tmp_path / "s", "images", silent) for each in lists]
    assert torch.equal(stores[0].pixels, stores[1].pixels.flip(0))
    assert not torch.equal(stores[0].pixels, stores[1].pixels)
    for each, store in zip(lists, stores, strict=True):
        again = open_store(each, RULE, tmp_path / "s", "images", silent)
        assert torch.equal(again.pixels, store.pixels)
    assert len(count) == 24


def test_what_nobody_opened_for_long_is_removed_when_another_is_made(root, tmp_path):
    stores = tmp_path / "s"
    old, used = opened(root, stores).folder, opened(root, stores, Rule(1, (8, 10))).folder
    for folder in (old, used):
        os.utime(folder / "index.json", (1, 1))
    opened(root, stores, Rule(1, (8, 10)))
    opened(root, stores, Rule(1, (6, 6)))
    assert not old.exists()
    assert used.exists()


def test_the_stores_of_a_folder_are_those_of_its_rules_that_were_opened_last(root, tmp_path):
    stores = tmp_path / "s"
    first, grey = opened(root, stores), opened(root, stores, Rule(1, (8, 10)))
    os.utime(first.folder / "index.json", (1, 1))
    (root / "a" / "0.png").unlink()
    newer = opened(root, stores)
    assert stores_of(list_folder(root), stores) == (
        [newer.folder],
        [grey.folder],
    )
    (root.parent / "elsewhere").mkdir()
    shutil.copytree(root, root.parent / "elsewhere" / "photos")
    assert stores_of(list_folder(root.parent / "elsewhere" / "photos"), stores) == ([], [])
