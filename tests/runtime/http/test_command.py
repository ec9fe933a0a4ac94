"""The command: what it refuses to do, how it starts and how it ends."""

import json
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager

import httpx
import pytest
from tests.runtime.http.builders import make_bundle, png, predictor, serving

from convsmith.cli.main import main as convsmith_main
from convsmith_runtime.cli import main as runtime_main
from convsmith_runtime.http.command import is_loopback, names

RUNTIME = [sys.executable, "-m", "convsmith_runtime.cli", "serve"]
BOTH = [RUNTIME, [sys.executable, "-m", "convsmith", "serve"]]


@contextmanager
def started(*words, command=RUNTIME):
    """The command in a process of its own, and the line of JSON that it printed."""
    line = [*command, *map(str, words), "--port", "0", "--json"]
    with subprocess.Popen(
        line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            first = process.stdout.readline()
            assert first, process.stderr.read()
            yield process, json.loads(first)
        finally:
            process.kill()


@pytest.fixture(params=["convsmith-runtime", "convsmith"])
def refused(request, capsys, monkeypatch):
    """A function that runs the command, which refuses, and returns the line that it says."""

    def run(*words):
        line = ["serve", *map(str, words)]
        monkeypatch.setattr(sys, "argv", [request.param, *line])
        with pytest.raises(SystemExit) as ended:
            convsmith_main(line) if request.param == "convsmith" else runtime_main()
        assert ended.value.code == 2
        said = capsys.readouterr().err
        assert said.startswith(f"{request.param}: ")
        assert said.count("\n") == 1
        return said

    return run


@pytest.mark.parametrize(
    ("command", "number"), [(BOTH[0], signal.SIGINT), (BOTH[1], signal.SIGTERM)]
)
def test_it_serves_until_a_signal_and_ends_well(bundle, command, number):
    with started(bundle, command=command) as (process, about):
        assert about["name"] == "colours"
        assert about["classes"] == 3
        answer = httpx.post(f"{about['address']}/v1/predict", files={"image": png("green")})
        assert answer.json()["predictions"][0]["guesses"][0]["label"] == "green"
        process.send_signal(number)
        assert process.wait(20) == 0
        assert process.stderr.read() == "stopped\n"


def test_a_signal_ends_nothing_that_was_accepted(bundle):
    with started(bundle) as (process, about):
        port = int(about["address"].rpartition(":")[2])
        body = png("blue")
        with socket.create_connection(("127.0.0.1", port)) as slow:
            slow.sendall(
                b"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n"
                b"Content-Length: %d\r\n\r\n" % len(body)
            )
            slow.sendall(body[:20])
            time.sleep(0.3)
            process.send_signal(signal.SIGTERM)
            time.sleep(0.5)
            assert process.poll() is None
            with pytest.raises(httpx.ConnectError):
                httpx.get(about["address"])
            slow.sendall(body[20:])
            answer = slow.makefile("rb").read()
        assert answer.startswith(b"HTTP/1.1 200 OK")
        assert b'"blue"' in answer
        assert process.wait(20) == 0


def test_nothing_is_imported_that_is_not_needed():
    code = (
        "import sys\n"
        "import convsmith_runtime.http.command\n"
        "print([n for n in ('fastapi', 'numpy', 'onnxruntime', 'PIL') if n in sys.modules])\n"
        "import convsmith_runtime.http.app, convsmith_runtime.http.server\n"
        "print([n for n in ('torch', 'convsmith') if n in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.splitlines() == ["[]", "[]"]


def test_others_need_a_key(bundle, refused):
    said = refused(bundle, "--host", "0.0.0.0")
    assert "others reach 0.0.0.0: set a key, such as CONVSMITH_API_KEY=" in said
    assert "a key has at least 16" in refused(bundle, "--host", "0.0.0.0", "--key", "short")
    assert "a key has at least 16" in refused(bundle, "--key", "ü" * 20)


def test_a_key_or_words_let_it_listen_to_others(bundle):
    key = "0123456789abcdef"
    with started(bundle, "--host", "0.0.0.0", "--key", key) as (_, about):
        url = about["address"].replace("0.0.0.0", "127.0.0.1")
        assert httpx.get(f"{url}/v1/model").status_code == 401
        answer = httpx.get(f"{url}/v1/model", headers={"Authorization": f"Bearer {key}"})
        assert answer.status_code == 200
    words = ("--let-anyone-in", "--allow-host", "models.example")
    with started(bundle, "--host", "0.0.0.0", *words) as (_, about):
        url = about["address"].replace("0.0.0.0", "127.0.0.1") + "/v1/model"
        assert httpx.get(url).status_code == 200
        assert httpx.get(url, headers={"Host": "models.example"}).status_code == 200
        assert httpx.get(url, headers={"Host": "evil.example"}).status_code == 421


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.0.2.1", False),
        ("localhost.example", False),
    ],
)
def test_what_is_loopback(host, local):
    assert is_loopback(host) is local
    assert (names(host, (), local=local) is None) is not local
    assert "a.example" in names(host, ("a.example",), local=local)


@pytest.mark.parametrize(
    "words",
    [
        ("--deadline", "nan"),
        ("--deadline", "inf"),
        ("--max-pixels", "nan"),
        ("--wait-ms", "nan"),
        ("--batch", "100000000"),
        ("--threads", "1000000"),
    ],
)
def test_numbers_that_cannot_be_meant_are_refused(bundle, capsys, words):
    with pytest.raises(SystemExit) as ended:
        convsmith_main(["serve", str(bundle), *words])
    assert ended.value.code == 2
    assert f"'{words[0]}'" in capsys.readouterr().err


def test_what_cannot_be_served_is_said_in_a_line(bundle, tmp_path, refused):
    (tmp_path / "no.convsmith").write_bytes(b"no")
    assert "is not there" in refused(tmp_path / "lost.convsmith")
    assert "is no bundle" in refused(tmp_path / "no.convsmith")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        said = refused(bundle, "--port", taken.getsockname()[1])
    assert "ddress already in use; --port 0 is any" in said
    assert "cannot listen on nowhere.invalid" in refused(
        bundle, "--host", "nowhere.invalid", "--let-anyone-in"
    )
    path = make_bundle(tmp_path / "off.convsmith", tamper=0.01)
    assert "colours is not served: golden/000.png: a logit differs by 0.01" in refused(path)


def test_a_missing_library_is_named_with_what_installs_it(bundle, refused, monkeypatch):
    monkeypatch.setitem(sys.modules, "convsmith_runtime.http.app", None)
    assert "is not installed: pip install" in refused(bundle)


def test_a_connection_that_asks_nothing_is_closed(bundle, monkeypatch):
    monkeypatch.setattr("convsmith_runtime.http.patience.HEAD_SECONDS", 0.3)
    with serving(predictor(bundle)) as url:
        port = int(url.rpartition(":")[2])
        for first in (b"", b"GET / HTTP/1.1\r\nHost: a\r\n"):
            with socket.create_connection(("127.0.0.1", port), 10) as silent:
                silent.sendall(first)
                began = time.monotonic()
                assert silent.recv(100) == b""
                assert 0.1 < time.monotonic() - began < 3
        with socket.create_connection(("127.0.0.1", port), 10) as patient:
            for _ in range(2):  # one that has asked may stay
                patient.sendall(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
                time.sleep(0.5)
                assert patient.recv(1000).startswith(b"HTTP/1.1 200")
            patient.sendall(b"GET /hea")
            assert patient.recv(100) == b""
