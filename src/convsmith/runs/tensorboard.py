"""Events for TensorBoard, beside a run's own metrics (``pip install "convsmith[track]"``)."""

import importlib.util
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

__all__ = ["Events", "installed"]

NAMES = {  # (event, value) -> what it is called there
    ("step", "loss"): "loss/step",
    ("step", "top1"): "top1/step",
    ("step", "learning_rate"): "learning rate",
    ("step", "images_per_second"): "images per second",
    ("step", "memory_bytes"): "memory (bytes)",
}


def installed() -> bool:
    """Return whether TensorBoard is installed."""
    return importlib.util.find_spec("tensorboard") is not None


class Events:
    """Writes a run's numbers as TensorBoard reads them, by step. Final."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writer = self._open(None)

    def _open(self, purge_step: int | None) -> Any:
        from torch.utils.tensorboard import SummaryWriter  # takes a second to import

        return SummaryWriter(str(self._folder), purge_step=purge_step)

    def record(self, event: str, values: Mapping[str, Any]) -> None:
        """Write the numbers of one event."""
        for name, value in named(event, values):
            self._writer.add_scalar(name, value, values["step"])
        if event == "layers":
            for name, histogram in values["histograms"].items():
                self._add_histogram(name, histogram, values["step"])
        self._writer.flush()

    def _add_histogram(self, name: str, histogram: Mapping[str, Any], step: int) -> None:
        """Write a histogram of equal bins; sums are those of the bins' middles."""
        low, high, counts = histogram["low"], histogram["high"], histogram["counts"]
        width = (high - low) / len(counts)
        middles = [low + width * (at + 0.5) for at in range(len(counts))]
        self._writer.add_histogram_raw(
            name,
            min=low,
            max=high,
            num=sum(counts),
            sum=sum(n * x for n, x in zip(counts, middles, strict=True)),
            sum_squares=sum(n * x * x for n, x in zip(counts, middles, strict=True)),
            bucket_limits=[low + width * (at + 1) for at in range(len(counts))],
            bucket_counts=counts,
            global_step=step,
        )

    def forget_after(self, step: int) -> None:
        """Say that what was written of later steps is void: the run goes on from here."""
        self._writer.close()
        self._writer = self._open(step + 1)

    def close(self) -> None:
        """Write what is left."""
        self._writer.close()


def named(event: str, values: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Yield the numbers of an event with TensorBoard's names; None is left out."""
    for key, value in values.items():
        if isinstance(value, int | float) and (event, key) in NAMES:
            yield NAMES[event, key], value
    if event == "epoch":
        for part in ("train", "val"):
            for key, value in (values.get(part) or {}).items():
                if value is not None:
                    yield f"{key}/{part}", value
