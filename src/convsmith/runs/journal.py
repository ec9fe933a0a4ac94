"""What happened in a run: ``metrics.jsonl`` for programs, ``log.txt`` for people."""

import json
import math
import os
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from convsmith.runs.folder import RunFolder
from convsmith.runs.tensorboard import Events

__all__ = ["Journal", "read_metrics"]


class Journal:
    """Appends to a run's two logs, and to TensorBoard's if wanted.

    Final; a context manager that closes them.
    """

    def __init__(self, run: RunFolder, *, tensorboard: bool = False) -> None:
        self._events = Events(run.path / "tensorboard") if tensorboard else None
        self._metrics = run.metrics.open("ab")
        self._log = run.log.open("a", encoding="utf-8")

    def __enter__(self) -> "Journal":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._metrics.close()
        self._log.close()
        if self._events is not None:
            self._events.close()

    def record(self, event: str, **values: Any) -> None:
        """Append one JSON object ``{"event": event, **values}``; NaN and infinity become null."""
        values = plain(values)
        line = json.dumps({"event": event, **values}, allow_nan=False) + "\n"
        self._metrics.write(line.encode())
        self._metrics.flush()
        if self._events is not None:
            self._events.record(event, values)

    def say(self, text: str) -> None:
        """Append one line with the time of day to the plain log."""
        self._log.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')}  {text}\n")
        self._log.flush()

    def flushed_size(self) -> int:
        """Force the metrics to the disk and return their size in bytes."""
        self._metrics.flush()
        os.fsync(self._metrics.fileno())
        return self._metrics.tell()

    def cut(self, size: int, step: int) -> None:
        """Cut the metrics back to ``size`` bytes: what had been logged up to ``step``."""
        self._metrics.truncate(size)
        self._metrics.seek(0, os.SEEK_END)
        if self._events is not None:
            self._events.forget_after(step)


def plain(value: Any) -> Any:
    """Return ``value`` with every non-finite number replaced by None."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Return the events of a ``metrics.jsonl``; a last line that was cut off is left out."""
    if not path.exists():
        return []
    events = []
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    for line in lines:
        if line.endswith("\n"):
            events.append(json.loads(line))
    return events
