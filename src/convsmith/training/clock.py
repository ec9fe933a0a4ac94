"""Seconds per training step, without making the device wait."""

import time

import torch

__all__ = ["StepClock"]


class StepClock:
    """Times steps: by the wall clock on a CPU, by CUDA events on a GPU, which lags behind."""

    def __init__(self, device: torch.device) -> None:
        self._events: list[tuple[torch.cuda.Event, torch.cuda.Event]] | None = (
            [] if device.type == "cuda" else None
        )
        self._started = 0.0
        self._seconds: list[float] = []

    def start(self) -> None:
        """Mark the beginning of a step, before its images are loaded."""
        if self._events is None:
            self._started = time.perf_counter()
        else:
            pair = (torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True))
            pair[0].record()
            self._events.append(pair)

    def stop(self) -> None:
        """Mark the end of a step."""
        if self._events is None:
            self._seconds.append(time.perf_counter() - self._started)
        else:
            self._events[-1][1].record()

    def seconds(self) -> list[float]:
        """Return the seconds of every finished step; on a GPU this waits for the last one."""
        if self._events:
            self._events[-1][1].synchronize()
            self._seconds += [start.elapsed_time(end) / 1e3 for start, end in self._events]
            self._events.clear()
        return self._seconds
