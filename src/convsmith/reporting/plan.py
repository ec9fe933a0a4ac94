"""What `convsmith plan` foresaw of a run, as its page shows it."""

from dataclasses import dataclass

from convsmith.reporting.numbers import bytes_text, duration
from convsmith.reporting.sections import Absent, read_file
from convsmith.runs.folder import RunFolder

__all__ = ["Check", "Choice", "Layer", "Planned", "read_plan", "stages"]


@dataclass(frozen=True)
class Layer:
    """One layer, or all of a stage; ``macs`` for one image, ``seconds`` for a micro-batch."""

    name: str
    output: tuple[int, ...]
    parameters: int
    macs: int
    kept_bytes: int
    kept_share: float
    seconds: float
    bound: str


@dataclass(frozen=True)
class Check:
    """One line of the check-list."""

    topic: str
    verdict: str
    reason: str


@dataclass(frozen=True)
class Choice:
    """One way to make the same batches."""

    precision: str
    accumulate: int
    micro_batch: int
    gradient_checkpointing: str
    memory: int
    step_seconds: float
    fits: bool
    best: bool


@dataclass(frozen=True)
class Planned:
    """The part of ``plan.json`` that is shown."""

    device: str
    basis: str
    precision: str
    batch_size: int
    answer: str
    memory: dict[str, int]
    images_per_second: float
    run_seconds: float
    layers: tuple[Layer, ...]
    choices: tuple[Choice, ...]
    checks: tuple[Check, ...]

    @property
    def stages(self) -> tuple[Layer, ...]:
        """Return the layers by stage."""
        return stages(self.layers)

    @property
    def facts(self) -> tuple[tuple[str, str], ...]:
        """Return the figures in words: the parts of the memory, and the time."""
        parts = [(name, size) for name, size in self.memory.items() if size]
        return (
            *((MEMORY.get(name, name), bytes_text(size)) for name, size in parts),
            ("training", f"{self.images_per_second:,.0f} images/s"),
            ("the whole run", duration(self.run_seconds)),
        )


MEMORY = {
    "optimizer": "optimizer's state",
    "average": "moving average",
    "activations": "kept for the backward pass",
    "temporary": "temporary tensors",
    "data": "images in memory",
    "runtime": "process and heap",
    "training": "peak of training",
    "inference": "peak of inference",
}


def read_plan(run: RunFolder) -> Planned | Absent:
    """Return a run's ``plan.json``."""
    return read_file(run.plan, Planned)


def stages(layers: tuple[Layer, ...]) -> tuple[Layer, ...]:
    """Return one line a stage, which is the first part of a layer's name."""
    found = []
    for name in dict.fromkeys(layer.name.partition(".")[0] for layer in layers):
        inside = [each for each in layers if each.name.partition(".")[0] == name]
        found.append(
            Layer(
                name,
                inside[-1].output,
                sum(each.parameters for each in inside),
                sum(each.macs for each in inside),
                sum(each.kept_bytes for each in inside),
                sum(each.kept_share for each in inside),
                sum(each.seconds for each in inside),
                max(inside, key=lambda each: each.seconds).bound,
            )
        )
    return tuple(found)
