"""What the server counts, in the text format that Prometheus reads."""

import os
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["Histogram", "Measured", "Metrics"]

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
IMAGES = (1, 2, 4, 8, 16, 32, 64, 128)


class Histogram:
    """Counts of values by upper bound. Final."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def add(self, value: float) -> None:
        """Count a value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def lines(self, name: str) -> Iterator[str]:
        """Yield the lines of the text format."""
        total = 0
        for bound, count in zip((*self._bounds, "+Inf"), self._counts, strict=True):
            total += count
            yield f'{name}_bucket{{le="{bound}"}} {total}'
        yield f"{name}_sum {self._sum}"
        yield f"{name}_count {total}"


class Metrics:
    """Everything that is counted; each number has one thread that changes it. Final."""

    def __init__(self) -> None:
        self.requests: Counter[tuple[str, int]] = Counter()
        self.refused: Counter[str] = Counter()
        self.seconds = Histogram(SECONDS)
        self.batches = Histogram(IMAGES)  # changed by the network's thread, all else by the loop

    def count(self, path: str, status: int, seconds: float) -> None:
        """Count an answered request."""
        self.requests[path, status] += 1
        if path == "/v1/predict":
            self.seconds.add(seconds)

    def text(self, waiting: int) -> str:
        """Return all of it."""
        return "\n".join(self._lines(waiting)) + "\n"

    def _lines(self, waiting: int) -> Iterator[str]:
        name = "convsmith_requests_total"
        yield from head(name, "counter", "Answered requests by path and status.")
        for (path, status), count in sorted(self.requests.items()):
            yield f'{name}{{path="{path}",status="{status}"}} {count}'
        name = "convsmith_refused_total"
        yield from head(name, "counter", "Refused requests by reason.")
        for kind, count in sorted(self.refused.items()):
            yield f'{name}{{reason="{kind}"}} {count}'
        name = "convsmith_predict_seconds"
        yield from head(name, "histogram", "Seconds from a request for a prediction to its answer.")
        yield from self.seconds.lines(name)
        name = "convsmith_batch_images"
        yield from head(name, "histogram", "Images that the network looked at together.")
        yield from self.batches.lines(name)
        waits = ("Images accepted and not yet answered.", float(waiting))
        for name, (about, value) in ({"convsmith_waiting_images": waits} | process()).items():
            kind = "counter" if name.endswith("_total") else "gauge"
            yield from head(name, kind, about)
            yield f"{name} {value}"


def head(name: str, kind: str, about: str) -> tuple[str, str]:
    """Return the lines before a metric's values."""
    return f"# HELP {name} {about}", f"# TYPE {name} {kind}"


def process() -> dict[str, tuple[str, float]]:
    """Return what the process has used; memory is known on Linux."""
    used = {"process_cpu_seconds_total": ("Processor time in seconds.", time.process_time())}
    pages = Path("/proc/self/statm")
    if pages.exists():
        size = int(pages.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        used["process_resident_memory_bytes"] = ("Memory in bytes.", size)
    return used


class Measured:
    """Counts every request with its status and time, whatever becomes of it. Final."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        status = 500  # what the server makes of an exception

        async def send_noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, send_noted)
        finally:
            # The route's path, not what was asked for: there would be no end of them.
            path = getattr(scope.get("route"), "path", "other")
            self._metrics.count(path, status, time.perf_counter() - began)
