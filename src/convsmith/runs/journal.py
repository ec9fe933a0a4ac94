"""What happened in a run: ``metrics.jsonl`` for programs, ``log.txt`` for people."""

import json
import os
import time
from pathlib import Path
from types import TracebackType
from typing import Any

from convsmith.errors import DamagedError
from convsmith.runs.folder import RunFolder, finite
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
        values = finite(values)
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
        """Cut the metrics back to ``size`` bytes: what had been logged up to ``step``.

        If there are fewer, because somebody cut or deleted the file, its whole lines stay.
        """
        whole = Path(self._metrics.name).read_bytes().rfind(b"\n") + 1
        self._metrics.truncate(min(size, whole))
        self._metrics.seek(0, os.SEEK_END)
        if self._events is not None:
            self._events.forget_after(step)


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Return the events of a ``metrics.jsonl``; a last line that was cut off is left out.

    Raises:
        DamagedError: a line is not what convsmith wrote.
    """
    if not path.exists():
        return []
    events = []
    for number, line in enumerate(path.read_bytes().splitlines(keepends=True), 1):
        if line.endswith(b"\n"):
            try:
                event = json.loads(line)
            except ValueError:
                event = None
            if not isinstance(event, dict) or "event" not in event:
                raise DamagedError(f"{path}:{number} is not as convsmith wrote it")
            events.append(event)
    return events
