"""The process in which ``bench`` times one configuration; it is run with ``python -m``."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from convsmith.benchmark.engines import Runner, onnx_engine, torch_engine
from convsmith.benchmark.worker import obey

__all__ = ["make"]


def make(spec: Mapping[str, Any]) -> Runner:
    """Return what runs a configuration; libraries are imported only where they are needed."""
    if "file" in spec:
        return onnx_engine(spec["engine"], Path(spec["file"]), spec["threads"])
    from convsmith.api.compress import input_of
    from convsmith.api.load import load

    model = load(spec["run"])
    return torch_engine(spec["engine"], model.module, input_of(model.card), spec["threads"])


if __name__ == "__main__":
    obey(make)
