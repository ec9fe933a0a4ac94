"""One engine in a process of its own: takes orders as lines of JSON, answers with times.

The first line says what to run; each further one ``{"batch": N, "seconds": S}``. What libraries
print goes to standard error, so that standard output holds nothing but answers.
"""

import json
import os
import re
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import IO, Any

import numpy

from convsmith.benchmark.energy import Meter
from convsmith.benchmark.engines import Runner
from convsmith.errors import ConvsmithError

__all__ = ["obey"]

FEWEST = 3  # calls, however long they take
STATUS = Path("/proc/self/status")


def obey(make: Callable[[Mapping[str, Any]], Runner]) -> None:
    """Serve orders from standard input until it ends; ``make`` is told what to run."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    try:
        serve(make, json.loads(sys.stdin.readline()), answers)
    except ConvsmithError as error:
        answer(answers, {"failed": str(error)})
    except Exception as error:  # noqa: BLE001  # whatever an engine raises, the others go on
        line = (str(error).splitlines() or [""])[0]
        answer(answers, {"failed": f"{type(error).__name__}: {line[:200]}"})


def serve(
    make: Callable[[Mapping[str, Any]], Runner], spec: Mapping[str, Any], answers: IO[str]
) -> None:
    """Load what is to be run, and time it as often as is asked."""
    for name in spec["libraries"]:  # what they take is not the network's
        with suppress(ImportError):  # it is said by whoever needs it
            import_module(name)
    shape = (max(spec["batches"]), *spec["image"])
    images = numpy.random.default_rng(0).integers(0, 256, shape, dtype=numpy.uint8)
    before = held("VmRSS")
    run = make(spec)
    run(images[:1])
    meter = Meter()
    answer(answers, {"energy": meter.known})
    known: set[int] = set()
    for line in sys.stdin:
        order = json.loads(line)
        batch = images[: order["batch"]]
        if len(batch) not in known:
            run(batch)  # what is made ready at the first call is not counted
            known.add(len(batch))
        meter.joules()
        times = timed(run, batch, order["seconds"])
        joules = meter.joules()
        memory = None if before is None else max(0, (held("VmHWM") or 0) - before)
        answer(answers, {"times": times, "joules": joules, "memory": memory})


def timed(run: Runner, batch: Any, seconds: float) -> list[float]:
    """Return the seconds of each call, made again and again for some time."""
    times: list[float] = []
    until = time.perf_counter() + seconds
    while len(times) < FEWEST or time.perf_counter() < until:
        started = time.perf_counter()
        run(batch)
        times.append(time.perf_counter() - started)
    return times


def held(kind: str) -> int | None:
    """Return the bytes that this process holds (VmRSS) or held at most (VmHWM); None if unknown."""
    try:
        found = re.search(rf"^{kind}:\s+(\d+) kB", STATUS.read_text(), re.MULTILINE)
    except OSError:
        return None
    return int(found[1]) * 1024 if found else None


def answer(stream: IO[str], value: Mapping[str, Any]) -> None:
    """Write one line."""
    print(json.dumps(value), file=stream, flush=True)
