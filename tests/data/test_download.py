"""Downloads against a real server that breaks off, lies, hangs and serves wrong bytes."""

import hashlib
import http.server
import io
import os
import signal
import subprocess
import sys
import tarfile
import threading
import time
from contextlib import suppress

import pytest
from torchvision.datasets import CIFAR10, CIFAR100, MNIST, FashionMNIST

from convsmith.data import archives, download, load_source
from convsmith.data.archives import ARCHIVES
from convsmith.data.download import fetch, unpack
from convsmith.errors import DataError

CONTENT = os.urandom(700_000)
SIZE = len(CONTENT)
MD5 = hashlib.md5(CONTENT).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    """Does what the last part of the path says."""

    def do_GET(self):
        server = self.server
        way = self.path.split("/")[1]
        server.asked.append((way, self.headers.get("Range")))
        asked = self.headers.get("Range", "bytes=0-")
        start = int(asked.removeprefix("bytes=").rstrip("-"))
        with suppress(BrokenPipeError, ConnectionResetError):
            getattr(self, way.replace("-", "_"))(start)

    def answer(self, status, body, length=None, **headers):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def piece(self, start, body, length=None):
        if not start:
            self.answer(200, body, length)
            return
        place = f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}"
        self.answer(206, body, length, Content_Range=place)

    def good(self, start):
        self.piece(start, CONTENT[start:])

    def breaks(self, start):
        self.piece(start, CONTENT[start : start + 300_000], len(CONTENT) - start)

    def breaks_once(self, start):
        (self.good if len(self.server.asked) > 1 else self.breaks)(start)

    def stops(self, start):
        self.piece(start, CONTENT[start:100_000], max(0, len(CONTENT) - start))

    def no_range(self, start):
        body = CONTENT if len(self.server.asked) > 1 else CONTENT[:300_000]
        self.answer(200, body, len(CONTENT))

    def wrong(self, start):
        self.answer(200, CONTENT[::-1])

    def short(self, start):
        self.answer(200, CONTENT[:5000])

    def long(self, start):
        self.answer(200, CONTENT + b"more" * 1000)

    def endless(self, start):
        self.send_response(200)
        self.end_headers()
        for _ in range(10_000):
            self.wfile.write(b"x" * 10_000)

    def lies_short(self, start):
        self.piece(start, CONTENT[start:], 1000)

    def lies_long(self, start):
        self.piece(start, CONTENT[start:], len(CONTENT) + 5000)

    def unsatisfiable(self, start):
        if start:
            self.answer(416, b"")
        else:
            self.answer(200, CONTENT)

    def other_piece(self, start):
        if start:
            self.answer(206, CONTENT, Content_Range=f"bytes 0-{len(CONTENT) - 1}/{len(CONTENT)}")
        else:
            self.answer(200, CONTENT)

    def hangs(self, start):
        self.piece(start, CONTENT[start : start + 10], len(CONTENT))
        time.sleep(1.5)

    def missing(self, start):
        self.answer(404, b"not here")

    def fails(self, start):
        self.answer(500, b"oops")

    def moved(self, start):
        self.answer(302, b"", Location="/good/file.bin")

    def slow(self, start):
        self.send_response(206 if start else 200)
        if start:
            place = f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}"
            self.send_header("Content-Range", place)
        self.send_header("Content-Length", str(len(CONTENT) - start))
        self.end_headers()
        for place in range(start, len(CONTENT), 20_000):
            self.wfile.write(CONTENT[place : place + 20_000])
            time.sleep(0.03)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server(monkeypatch):
    """A server on this machine that notes what it was asked."""
    monkeypatch.delenv("CONVSMITH_MIRROR", raising=False)
    monkeypatch.setattr(download, "TIMEOUT", 1.0)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.asked = []
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()


def get(server, target, *ways, size=SIZE, md5=MD5, said=None):
    urls = [f"http://127.0.0.1:{server.server_port}/{way}/file.bin" for way in ways]
    say = (lambda text: None) if said is None else said.append
    return fetch(urls, target, md5=md5, size=size, say=say)


def whole(target):
    assert target.read_bytes() == CONTENT
    assert [path.name for path in target.parent.iterdir()] == [target.name]


@pytest.mark.parametrize("size", [len(CONTENT), None])
@pytest.mark.parametrize(
    "way", ["good", "breaks", "breaks-once", "no-range", "moved", "lies-long", "slow"]
)
def test_what_can_be_had_is_had_whole(server, tmp_path, way, size):
    whole(get(server, tmp_path / "deep" / "file.bin", way, size=size))


def test_a_broken_download_goes_on_where_it_broke_off(server, tmp_path):
    get(server, tmp_path / "file.bin", "breaks")
    assert server.asked == [
        ("breaks", None),
        ("breaks", "bytes=300000-"),
        ("breaks", "bytes=600000-"),
    ]


@pytest.mark.parametrize(
    ("way", "reason"),
    [
        ("wrong", "has other bytes than it should"),
        ("short", "broke off after 5,000 of 700,000 bytes"),
        ("long", "is longer than it should be"),
        ("endless", "is longer than it should be"),
        ("lies-short", "broke off after 1,000 of 700,000 bytes"),
        ("stops", "broke off after 100,000 of 700,000 bytes"),
        ("hangs", "timed out"),
        ("missing", "Not Found"),
        ("fails", "Internal Server Error"),
    ],
)
def test_a_bad_mirror_is_named_with_its_reason_and_the_next_one_is_asked(
    server, tmp_path, way, reason
):
    with pytest.raises(DataError) as error:
        get(server, tmp_path / "a" / "file.bin", way)
    assert reason in str(error.value)
    assert "\n" not in str(error.value)
    assert f"download http://127.0.0.1:{server.server_port}/{way}/file.bin and put it at" in str(
        error.value
    )
    assert not (tmp_path / "a" / "file.bin").exists()
    whole(get(server, tmp_path / "b" / "file.bin", way, "good"))


@pytest.mark.parametrize("way", ["unsatisfiable", "other-piece", "good"])
def test_a_bad_piece_from_before_is_thrown_away(server, tmp_path, way):
    (tmp_path / ".file.bin.part-999999999").write_bytes(b"bad" * 1000)
    whole(get(server, tmp_path / "file.bin", way, way))


def test_a_file_that_is_right_is_left_and_a_wrong_one_replaced(server, tmp_path):
    target, said = tmp_path / "file.bin", []
    target.write_bytes(CONTENT)
    get(server, target, "missing")
    assert server.asked == []
    target.write_bytes(b"wrong")
    whole(get(server, target, "good", said=said))
    assert "is not what it should be; downloading it again" in said[0]


@pytest.mark.parametrize("place", ["MNIST/raw", ""])
def test_a_mirror_of_ones_own_is_asked_first(tmp_path, monkeypatch, place):
    files = {"train.gz": (MD5, SIZE)}
    small = archives.Archive(("file:///nowhere/",), files, "MNIST/raw")
    monkeypatch.setitem(ARCHIVES, "mnist", small)
    mirror = tmp_path / "mirror" / place
    mirror.mkdir(parents=True)
    (mirror / "train.gz").write_bytes(CONTENT)
    monkeypatch.setenv("CONVSMITH_MIRROR", f"{(tmp_path / 'mirror').as_uri()}/")
    archives.download_source("mnist", tmp_path / "data", lambda text: None)
    assert (tmp_path / "data" / "MNIST" / "raw" / "train.gz").read_bytes() == CONTENT


def test_nobody_there_and_odd_addresses_are_said(tmp_path):
    with pytest.raises(DataError, match="Connection refused"):
        fetch(["http://127.0.0.1:9/x"], tmp_path / "x", md5=MD5, size=None, say=print)
    with pytest.raises(DataError, match="is no http, https or file address"):
        fetch(["gopher://x/y"], tmp_path / "x", md5=MD5, size=None, say=print)


def test_it_says_how_far_it_is(server, tmp_path, monkeypatch):
    clock = iter(range(0, 10_000, 3))
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    said = []
    get(server, tmp_path / "file.bin", "slow", said=said)
    assert said[0].startswith("downloading file.bin from 127.0.0.1")
    assert "MB of 1" in said[-1]
    assert "s left" in said[-1]


CHILD = """
import sys
from pathlib import Path
from convsmith.data.download import fetch
url, target, md5, size = sys.argv[1:]
print("began", flush=True)
fetch([url], Path(target), md5=md5, size=int(size), say=lambda text: None)
"""


def start(server, target):
    url = f"http://127.0.0.1:{server.server_port}/slow/file.bin"
    words = [sys.executable, "-c", CHILD, url, str(target), MD5, str(len(CONTENT))]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_killed_process_leaves_a_piece_that_the_next_one_goes_on_with(server, tmp_path):
    target = tmp_path / "file.bin"
    with start(server, target) as child:
        while not any(path.stat().st_size > 50_000 for path in tmp_path.glob(".file*")):
            time.sleep(0.01)
            assert child.poll() is None
        child.send_signal(signal.SIGKILL)
        child.wait()
    assert not target.exists()
    server.asked.clear()
    whole(get(server, target, "good"))
    ((_, asked),) = server.asked
    assert int(asked.removeprefix("bytes=").rstrip("-")) > 50_000


def test_two_processes_at_once_do_not_spoil_it(server, tmp_path):
    target = tmp_path / "file.bin"
    children = [start(server, target) for _ in range(2)]
    for child in children:
        _, err = child.communicate(timeout=60)
        assert child.returncode == 0, err
    whole(target)


def test_a_full_disk_is_said_and_leaves_nothing(server, tmp_path):
    import resource

    def limited():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    url = f"http://127.0.0.1:{server.server_port}/good/file.bin"
    words = [sys.executable, "-c", CHILD, url, str(tmp_path / "x"), MD5, str(len(CONTENT))]
    done = subprocess.run(
        words, preexec_fn=limited, capture_output=True, text=True, timeout=60, check=False
    )
    assert "cannot be written: File too large" in done.stderr
    assert list(tmp_path.iterdir()) == []


def packed(path, members):
    with tarfile.open(path, "w:gz") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            if isinstance(content, bytes):
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
            else:
                info.type, info.linkname = content
                tar.addfile(info)


def test_only_the_named_files_are_unpacked(tmp_path):
    members = {"set/a": b"1", "set/b": b"2", "set/readme.html": b"3", "../../evil": b"4"}
    packed(tmp_path / "x.tar.gz", members)
    unpack(tmp_path / "x.tar.gz", tmp_path / "out" / "set", ["a", "b"], 100)
    assert sorted(p.name for p in (tmp_path / "out" / "set").iterdir()) == ["a", "b"]
    assert not list(tmp_path.rglob("evil"))


@pytest.mark.parametrize(
    "member",
    [
        (tarfile.SYMTYPE, "/etc/passwd"),
        (tarfile.LNKTYPE, "/etc/passwd"),
        (tarfile.FIFOTYPE, ""),
        (tarfile.DIRTYPE, ""),
        b"x" * 101,
    ],
)
def test_links_devices_and_giants_are_refused_and_nothing_is_left(tmp_path, member):
    packed(tmp_path / "x.tar.gz", {"set/a": b"1", "set/b": member})
    with pytest.raises(DataError, match="is not the file it should be"):
        unpack(tmp_path / "x.tar.gz", tmp_path / "set", ["a", "b"], 100)
    assert [path.name for path in tmp_path.iterdir()] == ["x.tar.gz"]


def test_half_an_archive_and_a_missing_file_are_said(tmp_path):
    packed(tmp_path / "x.tar.gz", {"set/a": os.urandom(5000)})
    with pytest.raises(DataError, match="lacks a file"):
        unpack(tmp_path / "x.tar.gz", tmp_path / "set", ["a", "b"], 10_000)
    content = (tmp_path / "x.tar.gz").read_bytes()
    (tmp_path / "x.tar.gz").write_bytes(content[:3000])
    with pytest.raises(DataError, match="cannot be unpacked"):
        unpack(tmp_path / "x.tar.gz", tmp_path / "set", ["a"], 10_000)


def test_checksums_are_those_that_torchvision_knows():
    for ours, theirs in (("mnist", MNIST), ("fashion_mnist", FashionMNIST)):
        expected = dict(theirs.resources)
        assert {name: md5 for name, (md5, _) in ARCHIVES[ours].files.items()} == expected
    for ours, theirs in (("cifar10", CIFAR10), ("cifar100", CIFAR100)):
        assert ARCHIVES[ours].files[theirs.filename][0] == theirs.tgz_md5
        assert ARCHIVES[ours].servers[0] + theirs.filename == theirs.url
        assert ARCHIVES[ours].folder == theirs.base_folder
        named = {name for name, _ in theirs.train_list + theirs.test_list}
        assert set(ARCHIVES[ours].members) == named | {theirs.meta["filename"]}


def test_a_missing_data_set_is_downloaded_and_read(tmp_path, monkeypatch):
    """A small CIFAR-10 of our own, served by a file mirror, from nothing to images."""
    import pickle

    import numpy

    mirror = tmp_path / "mirror"
    mirror.mkdir()
    members = {"cifar-10-batches-py/batches.meta": b"x"}
    for name in ARCHIVES["cifar10"].members[:-1]:
        batch = {
            "data": numpy.zeros((20, 3072), numpy.uint8),
            "labels": [n % 10 for n in range(20)],
        }
        members[f"cifar-10-batches-py/{name}"] = pickle.dumps(batch, protocol=2)
    packed(mirror / "cifar-10-python.tar.gz", members)
    content = (mirror / "cifar-10-python.tar.gz").read_bytes()
    files = {"cifar-10-python.tar.gz": (hashlib.md5(content).hexdigest(), len(content))}
    small = archives.Archive(
        ("file:///nowhere/",), files, "cifar-10-batches-py", ARCHIVES["cifar10"].members
    )
    monkeypatch.setitem(ARCHIVES, "cifar10", small)
    monkeypatch.setenv("CONVSMITH_MIRROR", mirror.as_uri())
    monkeypatch.delenv("CONVSMITH_OFFLINE")
    said = []
    source = load_source("cifar10", tmp_path / "data", say=said.append, online=True)
    assert len(source.train) == 100
    assert said[0] == f"cifar10 is not in {tmp_path / 'data'}; downloading it"
    said.clear()
    load_source("cifar10", tmp_path / "data", say=said.append, online=True)
    assert said == []


def test_offline_the_way_by_hand_is_said(tmp_path, monkeypatch):
    monkeypatch.delenv("CONVSMITH_OFFLINE")
    monkeypatch.setitem(
        ARCHIVES,
        "cifar10",
        archives.Archive(
            ("http://127.0.0.1:9/",),
            ARCHIVES["cifar10"].files,
            "cifar-10-batches-py",
            ARCHIVES["cifar10"].members,
        ),
    )
    with pytest.raises(DataError) as error:
        load_source("cifar10", tmp_path, online=True)
    assert "Connection refused" in str(error.value)
    assert f"put it at {tmp_path / 'cifar-10-python.tar.gz'}" in str(error.value)
