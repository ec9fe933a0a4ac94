"""What cannot be said together in a recipe, though each value is valid in itself."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from convsmith.data import FILES, SOURCES, is_source
from convsmith.data.augment import LEVELS
from convsmith.errors import ModelError, did_you_mean
from convsmith.models.pretrained import LIBRARIES, architectures
from convsmith.recipe.words import choose, shown
from convsmith.sizes import parse_memory

__all__ = ["KNOWN_SOURCES", "between"]

KNOWN_SOURCES = (*SOURCES, *(f"{kind}:PATH" for kind in FILES))

Found = Iterator[tuple[str, str, str | None]]


def between(parts: Mapping[str, Any], written: Mapping[str, Any]) -> Found:
    """Yield path, message and hint of every mistake.

    Args:
        parts: the sections that are valid in themselves, validated.
        written: all sections as they are written.
    """
    yield from names_of_data(written.get("data"))
    have = SimpleNamespace(**dict.fromkeys(SECTIONS) | dict(parts))
    for needed, check in CHECKS:
        if all(getattr(have, section) is not None for section in needed):
            yield from check(have)


def names_of_data(data: object) -> Found:
    """Look at the source and the level, even where the rest of the section is wrong."""
    if not isinstance(data, dict):
        return
    source, level, own = data.get("source"), data.get("augment"), data.get("levels")
    if isinstance(source, str) and not is_source(source) and source != "own":
        hint = choose(source, KNOWN_SOURCES)
        if Path(source).expanduser().exists():
            kind = "folder" if Path(source).expanduser().is_dir() else "csv"
            hint = f"did you mean `{kind}:{source}`?"
        yield "data.source", f"{shown(source)} is not known", hint
    levels = [*LEVELS, *(own if isinstance(own, dict) else ())]
    if isinstance(level, str) and level not in levels:
        yield "data.augment", f"{shown(level)} is not a level", choose(level, levels)


def accumulation(have: SimpleNamespace) -> Found:
    """The batch must split into equal micro-batches."""
    train = have.train
    if train.batch_size % train.accumulate:
        message = f"{train.accumulate} does not divide the batch of {train.batch_size}"
        yield "train.accumulate", message, None


def recomputation(have: SimpleNamespace) -> Found:
    """Only a budget says how many stages have to be computed again."""
    if have.train.gradient_checkpointing == "auto" and parse_memory(have.budget.memory) is None:
        yield "train.gradient_checkpointing", "auto needs budget.memory", "all needs none"


def validation(have: SimpleNamespace) -> Found:
    """What looks at a validation part needs one."""
    if have.data.validation == 0:
        if have.train.early_stopping is not None:
            yield "train.early_stopping", "needs data.validation above 0", None
        if have.train.keep == "best":
            yield "train.keep", "best needs data.validation above 0", None


def balance(have: SimpleNamespace) -> Found:
    """Weights of classes are said once, to a loss that takes them."""
    if have.data.balance != "weights":
        return
    if "class_weights" not in have.loss.options:
        message = f"{have.loss.name} has no weights for classes; use sampling"
        yield "data.balance", message, None
    elif have.loss.class_weights is not None:
        yield "data.balance", "weights and loss.class_weights are both given", None


def architecture(have: SimpleNamespace) -> Found:
    """A network of another library must be there."""
    model = have.model
    if model.name not in LIBRARIES:
        return
    try:
        known = architectures(model.name)
    except ModelError as error:
        yield "model.name", str(error), None
        return
    if model.architecture not in known:
        near = did_you_mean(model.architecture, known).strip(" ()")
        message = f"{model.name} has no {shown(model.architecture)}"
        yield "model.architecture", message, near or None


def published_weights(have: SimpleNamespace) -> Found:
    """The hub has weights of torchvision's and timm's networks only."""
    if have.transfer.weights == "hub" and have.model.name not in LIBRARIES:
        message = f"{have.model.name} has no published weights"
        hint = "give a file or a run, or a network of torchvision or timm"
        yield "transfer.weights", message, hint


def head_first(have: SimpleNamespace) -> Found:
    """Training the head alone needs a trained backbone, and must end with the training."""
    head, epochs = have.transfer.head_epochs, have.train.epochs
    if head and have.transfer.weights is None:
        yield "transfer.head_epochs", "needs transfer.weights: what is held still is random", None
    elif head > epochs:
        message = f"{head} is longer than the training of {epochs} epochs"
        yield "transfer.head_epochs", message, None


def constants(have: SimpleNamespace) -> Found:
    """A mean without a deviation would be measured after all."""
    said = [name for name in ("mean", "std") if getattr(have.data, name) is not None]
    if len(said) == 1:
        other = "std" if said == ["mean"] else "mean"
        yield f"data.{said[0]}", f"needs data.{other} beside it", None


def rates_of_parts(have: SimpleNamespace) -> Found:
    """Muon has rates of its own for the parts of a network."""
    if have.transfer.backbone_rate != 1 and have.optimizer.name == "muon":
        yield "transfer.backbone_rate", "muon has rates of its own; use another one", None


def warmup(have: SimpleNamespace) -> Found:
    """A warm-up must end before the training does."""
    epochs = have.schedule.options.get("warmup_epochs", 0)
    if epochs > have.train.epochs:
        message = f"{epochs:g} is longer than the training of {have.train.epochs} epochs"
        yield "schedule.warmup_epochs", message, None


def shape_of_schedule(have: SimpleNamespace) -> Found:
    """Milestones must rise, and shares of the training fit into it."""
    options = have.schedule.options
    marks = list(options.get("milestones", ()))
    if marks != sorted(set(marks)):
        yield "schedule.milestones", f"must rise, got {shown(tuple(marks))}", None
    shares = options.get("rise_share", 0), options.get("tail_share", 0)
    if sum(shares) > 1:
        message = f"{shares[0]:g} and schedule.tail_share {shares[1]:g} add up to more than 1"
        yield "schedule.rise_share", message, None


CHECKS = (  # the sections that must be valid in themselves, and what to look at
    (("train",), accumulation),
    (("train", "budget"), recomputation),
    (("data", "train"), validation),
    (("data", "loss"), balance),
    (("model",), architecture),
    (("model", "transfer"), published_weights),
    (("transfer", "train"), head_first),
    (("data",), constants),
    (("optimizer", "transfer"), rates_of_parts),
    (("schedule", "train"), warmup),
    (("schedule",), shape_of_schedule),
)
SECTIONS = {section for needed, _ in CHECKS for section in needed}
