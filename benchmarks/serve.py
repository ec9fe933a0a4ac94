"""How many images the server answers, how fast, and whether hostile requests harm it.

    python benchmarks/serve.py model.convsmith --seconds 60 --clients 64 --hostile 10000

Starts ``convsmith-runtime serve`` and asks it over real connections, one golden sample a request.
What the processor's time would allow is measured apart: decoding the same files, plus the network's
own rate on full batches. Memory is the server's, before and after the hostile requests.
"""

import argparse
import asyncio
import io
import json
import random
import subprocess
import sys
import time
import zipfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy
from PIL import Image

from convsmith_runtime.bundle import Bundle, open_bundle
from convsmith_runtime.decode import decode_quietly, quiet
from convsmith_runtime.predict import Predictor

BOUNDARY = "cut"


@dataclass
class Answered:
    """What came of many requests."""

    statuses: Counter[int] = field(default_factory=Counter)
    broken: int = 0  # connections that ended without an answer
    seconds: list[float] = field(default_factory=list)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundle")
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--hostile", type=int, default=10_000)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    bundle = open_bundle(options.bundle)
    bodies = [form(golden.name, golden.data) for golden in bundle.golden]
    allowed = reference(bundle, options.batch, options.threads)
    words = ["--batch", options.batch, "--threads", options.threads]
    with server(options.bundle, *words) as port:
        asyncio.run(load(port, bodies, options.clients, 2))
        before = asyncio.run(used(port))
        began = time.perf_counter()
        found = asyncio.run(load(port, bodies, options.clients, options.seconds))
        elapsed = time.perf_counter() - began
        after = asyncio.run(used(port))
        images = found.statuses[200]
        rate = images / (after["process_cpu_seconds_total"] - before["process_cpu_seconds_total"])
        batches = (after[name] - before[name] for name in BATCHES)
        print("| measured | value |\n|---|---|")
        print(f"| clients, seconds | {options.clients}, {elapsed:.0f} |")
        print(f"| answered, others | {images:,}, {len(found.seconds) - images + found.broken} |")
        print(f"| images/s | {images / elapsed:,.0f} |")
        for share in (50, 99, 100):
            milliseconds = 1000 * numpy.percentile(found.seconds, share)
            print(f"| p{share} latency | {milliseconds:,.0f} ms |")
        print(f"| images a batch, mean | {next(batches) / next(batches):.1f} |")
        print(f"| images per CPU-second, server | {rate:,.0f} |")
        print(f"| images per CPU-second, decoding plus batches | {allowed:,.0f} |")
        print(f"| share | {rate / allowed:.0%} |")
        if options.hostile:
            asyncio.run(attack(port, options.hostile))


BATCHES = ("convsmith_batch_images_sum", "convsmith_batch_images_count")


@contextmanager
def server(bundle: str, *words: object) -> Iterator[int]:
    """Run the server in a process of its own; yields its port."""
    line = [sys.executable, "-m", "convsmith_runtime.cli", "serve", bundle, "--port", "0", "--json"]
    with subprocess.Popen(
        [*line, *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        if not first:
            raise SystemExit(process.communicate()[1])
        try:
            yield int(json.loads(first)["address"].rpartition(":")[2])
        finally:
            process.terminate()


def reference(bundle: Bundle, batch: int, threads: int) -> float:
    """Return how many images a second of the processor could decode and look at."""
    predictor = Predictor(bundle, threads)
    rule = bundle.preprocessing
    began, count = time.process_time(), 0
    with quiet():
        while time.process_time() - began < 1:
            for golden in bundle.golden:
                file = io.BytesIO(golden.data)
                pixels = decode_quietly(file, rule.channels, rule.image_size, rule.resize)
                count += 1
    decoding = (time.process_time() - began) / count
    images = numpy.repeat(pixels[None], batch, 0)
    predictor.run(images)
    began, count = time.process_time(), 0
    while time.process_time() - began < 3:
        predictor.run(images)
        count += batch
    return 1 / (decoding + (time.process_time() - began) / count)


def form(name: str, content: bytes) -> bytes:
    """Return a whole request with one image in a form."""
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="image"; filename="{name}"'
    body = f"{head}\r\n\r\n".encode() + content + f"\r\n--{BOUNDARY}--\r\n".encode()
    return request("POST", "/v1/predict", f"multipart/form-data; boundary={BOUNDARY}", body)


def request(method: str, path: str, kind: str, body: bytes) -> bytes:
    """Return a request as it goes over the wire."""
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {kind}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode("latin-1", "replace") + body


async def answer(reader: asyncio.StreamReader, *, without_body: bool = False) -> tuple[int, bytes]:
    """Return the status and body of one answer."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = 0
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length" and not without_body:
            length = int(value)
    return int(head.split(b" ", 2)[1]), await reader.readexactly(length)


async def load(port: int, requests: list[bytes], clients: int, seconds: float) -> Answered:
    """Ask from many connections for some seconds, each as soon as it is answered."""
    found = Answered()
    end = time.perf_counter() + seconds

    async def client(number: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while time.perf_counter() < end:
            began = time.perf_counter()
            writer.write(requests[number % len(requests)])
            try:
                status, _ = await answer(reader)
            except (asyncio.IncompleteReadError, OSError):
                found.broken += 1
                break
            found.statuses[status] += 1
            found.seconds.append(time.perf_counter() - began)
            number += 1
        writer.close()

    await asyncio.gather(*map(client, range(clients)))
    return found


async def used(port: int) -> dict[str, float]:
    """Return what the server says it has used and counted."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    _, body = await answer(reader)
    writer.close()
    lines = [line.rsplit(" ", 1) for line in body.decode().splitlines() if line[:1] != "#"]
    return {name: float(value) for name, value in lines}


async def attack(port: int, count: int, at_once: int = 16) -> None:
    """Send hostile requests, each over a connection of its own, and print what came of them."""
    found = Answered()
    sent = iter(hostile(count))
    memory = []

    async def attacker() -> None:
        for data in sent:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(data)
                async with asyncio.timeout(2):  # for what is no whole request
                    status, _ = await answer(reader, without_body=data.startswith(b"HEAD"))
                found.statuses[status] += 1
            except (asyncio.IncompleteReadError, TimeoutError, OSError):
                found.broken += 1
            writer.close()
            if (sum(found.statuses.values()) + found.broken) % max(1, count // 10) == 0:
                memory.append((await used(port))["process_resident_memory_bytes"] / 2**20)

    await asyncio.gather(*(attacker() for _ in range(at_once)))
    failed = sum(number for status, number in found.statuses.items() if status >= 500)
    print(f"| hostile requests | {count:,} |")
    by_status = ", ".join(
        f"{number:,} x {status}" for status, number in sorted(found.statuses.items())
    )
    print(f"| answers | {by_status}, {found.broken} without one |")
    print(f"| failures (5xx) | {failed} |")
    print(f"| memory after each tenth, MiB | {', '.join(f'{each:.0f}' for each in memory)} |")


def hostile(count: int) -> Iterator[bytes]:
    """Yield requests that nobody should send."""
    draw = random.Random(0)
    files = [image(kind) for kind in ("PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF")]
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as zipped:
        zipped.writestr("a", "b")
    bomb = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(bomb, "PNG")
    large = io.BytesIO()
    Image.new("L", (7000, 7000)).save(large, "PNG")
    for number in range(count):
        file = draw.choice(files)
        content = draw.choice(
            [
                lambda file=file: damaged(draw, file),
                lambda file=file: file[: draw.randrange(len(file))],
                lambda file=file: file + archive.getvalue(),
                lambda file=file: b"",
                lambda file=file: draw.randbytes(draw.randrange(2000)),
                lambda file=file: b"<html>" + file,
            ]
        )()
        if number % 97 == 0:
            content = bomb.getvalue()
        if number % 499 == 0:
            content = large.getvalue()  # within the limits, and slow
        yield draw.choice([sent_as_file, sent_as_form, sent_as_json, sent_anyhow])(draw, content)


def image(kind: str) -> bytes:
    """Return a file of one format."""
    noise = numpy.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=numpy.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).save(file, kind)
    return file.getvalue()


def damaged(draw: random.Random, file: bytes) -> bytes:
    """Return a file with some of its bytes changed."""
    content = bytearray(file)
    for _ in range(draw.randint(1, 20)):
        content[draw.randrange(len(content))] = draw.randrange(256)
    return bytes(content)


def sent_as_file(draw: random.Random, content: bytes) -> bytes:
    path = "/v1/predict" + draw.choice(["", "?top=0", "?top=99", "?maps=1", "?maps=x", "?top=%00"])
    return request("POST", path, draw.choice(["image/png", "application/octet-stream"]), content)


def sent_as_form(draw: random.Random, content: bytes) -> bytes:
    whole = form(draw.choice(["a.png", "", "../../a", "x" * 500]), content)
    return damaged(draw, whole) if draw.random() < 0.2 else whole


def sent_as_json(draw: random.Random, content: bytes) -> bytes:
    from base64 import b64encode

    text = b64encode(content).decode()
    body = draw.choice(
        [
            json.dumps({"images": [text]}),
            json.dumps({"images": [text, "https://example.com/a.png"]}),
            json.dumps({"images": text}),
            "[" * draw.randrange(100_000),
            '{"images": [' + "1," * draw.randrange(100_000) + "1]}",
            text,
        ]
    )
    return request("POST", "/v1/predict", "application/json", body.encode())


def sent_anyhow(draw: random.Random, content: bytes) -> bytes:
    method = draw.choice(["GET", "PUT", "DELETE", "HEAD", "OPTIONS", "POST", "TRACE", "X"])
    path = draw.choice(
        ["/", "/v1/model", "/v1/examples/-1", "/v1/examples/" + "9" * 50, "/../etc", "/%ff", "/x"]
    )
    if draw.random() < 0.2:
        return draw.randbytes(draw.randrange(1, 500)) + b"\r\n\r\n"
    return request(method, path, "text/plain", content)


if __name__ == "__main__":
    main()
