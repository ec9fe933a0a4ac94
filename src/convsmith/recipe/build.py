"""From a recipe to things that run: the parts of the data, the network, the job."""

import hashlib
import os
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from convsmith.data import Reading, load_source
from convsmith.data.augment import LEVELS, Augment
from convsmith.data.batches import EvalBatches, Loading, TrainBatches
from convsmith.data.images import Images, Say, Source
from convsmith.data.normalise import Normalise
from convsmith.data.split import grouped_split, stratified_split
from convsmith.errors import DataError, ModelError, UserError
from convsmith.models import MODELS
from convsmith.models.weights import head_of
from convsmith.randomness import derive
from convsmith.recipe.schema import Recipe
from convsmith.training.device import configure
from convsmith.training.ema import Ema
from convsmith.training.job import Job, State
from convsmith.training.losses import LOSSES, Loss
from convsmith.training.optimizers import OPTIMIZERS
from convsmith.training.precision import make_precision
from convsmith.training.recompute import stages_of
from convsmith.training.schedules import SCHEDULES
from convsmith.training.stopping import EarlyStopping
from convsmith.training.transfer import Phases, slow_down

__all__ = [
    "LAYOUTS",
    "Parts",
    "augmentation",
    "build_job",
    "build_loss",
    "build_model",
    "build_optimizer",
    "build_state",
    "eval_batches",
    "keeps_best",
    "read_source",
    "set_up",
    "split",
    "split_rows",
]

LAYOUTS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}


@dataclass(frozen=True)
class Parts:
    """A data set as one recipe uses it; ``validation`` is None when all of it is trained on."""

    classes: tuple[str, ...]
    train: Images
    validation: Images | None
    test: Images
    normalise: Normalise

    def named(self, name: str) -> Images | None:
        """Return the part called ``train``, ``validation`` or ``test``."""
        return {"train": self.train, "validation": self.validation, "test": self.test}[name]

    def digest(self) -> str:
        """Return a checksum of the training and validation images and labels."""
        parts = [each.checksum() for each in (self.train, self.validation) if each is not None]
        return hashlib.blake2b(" ".join(parts).encode(), digest_size=16).hexdigest()


def read_source(recipe: Recipe, root: Path, say: Say) -> Source:
    """Read the recipe's data set.

    Raises:
        DataError: it is missing or broken.
    """
    data = recipe.data
    reading = Reading(data.image_size, data.channels, data.resize, data.on_bad_image)
    return load_source(data.source, root, reading, say, online=True)


def split(recipe: Recipe, source: Source) -> Parts:
    """Split test and validation from training as the recipe says, where they are not given.

    Normalisation is measured on what is left to train on, unless the recipe states it.
    """
    own = {"validation": source.validation, "test": source.test}
    given = {part: images for part, images in own.items() if images is not None}
    rows = split_rows(recipe, source.train.labels, source.groups, given)
    parts = {part: source.train.select(chosen) for part, chosen in rows.items()} | given
    train = parts["train"] if len(rows) > 1 else source.train  # as it was if nothing is split off
    measured = normalisation(recipe, train)
    return Parts(source.classes, train, parts.get("validation"), parts["test"], measured)


def split_rows(
    recipe: Recipe, labels: Tensor, groups: Tensor | None, given: Collection[str]
) -> dict[str, Tensor]:
    """Return the indices of each part that is split from the training images, and of the rest.

    Args:
        recipe: says the shares and the seed.
        labels: ``(N,)`` int64.
        groups: ``(N,)`` int64: which images stay together.
        given: the parts that the data set has.
    """
    left, rows = torch.arange(len(labels)), {}
    for part, share in (("test", recipe.data.test), ("validation", recipe.data.validation)):
        if part in given or share == 0:
            continue
        together = None if groups is None else groups[left]
        kept, held_out = split_off(labels[left], together, share, recipe.seed, part)
        rows[part], left = left[held_out], left[kept]
    return {"train": left, **rows}


def split_off(
    labels: Tensor, groups: Tensor | None, share: float, seed: int, purpose: str
) -> tuple[Tensor, Tensor]:
    """Return the indices that stay and those held out; groups stay together."""
    if groups is None:
        return stratified_split(labels, share, seed, purpose)
    groups = groups.unique(return_inverse=True)[1]
    return grouped_split(labels, groups, share, seed, purpose)


def normalisation(recipe: Recipe, train: Images) -> Normalise:
    """Return the recipe's normalisation, or what the training images measure."""
    mean, std = recipe.data.mean, recipe.data.std
    if mean is None or std is None:
        return Normalise.measure(train)
    if len(mean) != train.channels or len(std) != train.channels:
        raise DataError(
            f"data.mean and data.std have {len(mean)} and {len(std)} numbers, "
            f"the images have {train.channels} channels"
        )
    return Normalise(mean, std, 255.0 if train.pixels.dtype == torch.uint8 else 1.0)


def set_up(device: torch.device, recipe: Recipe) -> None:
    """Set a GPU up as the recipe says; the images of a run all have one size."""
    configure(device, deterministic=recipe.train.deterministic, fixed_size=True)


def build_model(
    recipe: Recipe, classes: int, channels: int, image_size: tuple[int, int]
) -> nn.Module:
    """Build the recipe's network with the weights that its seed gives.

    Raises:
        ModelError: the network does not fit this image size, or the memory.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(recipe.seed, "initial weights"))
        try:
            return MODELS[recipe.model.name](classes, channels, image_size, **recipe.model.options)
        except RuntimeError as error:
            if "allocate memory" not in str(error):
                raise
            raise ModelError(f"{recipe.model.name} as asked for does not fit in memory") from error


def mirrored(recipe: Recipe, source: Source) -> bool:
    """Return whether mirrored images keep their labels, as the recipe or else the data says."""
    said = recipe.data.mirrored
    return source.mirrored if said is None else said


def augmentation(recipe: Recipe, source: Source) -> Augment:
    """Return what the recipe does to training images: its operations, or those of its level.

    Raises:
        UserError: the operations do not fit the size of the images.
    """
    chosen = recipe.data.augment
    if isinstance(chosen, str):
        if chosen not in recipe.data.levels:
            return LEVELS[chosen](replace(source, mirrored=mirrored(recipe, source)))
        chosen = recipe.data.levels[chosen]
    operations = Augment(**dict(chosen))
    height, width = source.train.image_size
    if (height, width) == (1, 1) and operations != Augment():
        what = "images of one pixel" if source.train.pixels.dtype == torch.uint8 else "points"
        raise UserError(
            f"data.augment: {source.name} holds {what}, which are not augmented; say none"
        )
    if operations.crop >= min(height, width):
        raise UserError(
            f"data.augment.crop: {operations.crop} pixels of padding on images of "
            f"{height}x{width} would leave black ones; an eighth of the size is usual"
        )
    return operations


def build_loss(recipe: Recipe, parts: Parts) -> Loss:
    """Build the recipe's loss; classes count by how rare they are, if it says so."""
    options = dict(recipe.loss.options)
    if recipe.data.balance == "weights":
        counts = parts.train.labels.bincount(minlength=len(parts.classes)).clamp(min=1)
        options["class_weights"] = tuple((1 / counts.double()).tolist())
    return LOSSES[recipe.loss.name](len(parts.classes), **options)


def build_optimizer(recipe: Recipe, model: nn.Module) -> Optimizer:
    """Build the recipe's optimizer of a network's parameters."""
    return OPTIMIZERS[recipe.optimizer.name](model, **recipe.optimizer.options)


def loading(recipe: Recipe) -> Loading:
    """Return how batches are put together."""
    chosen = recipe.data.loading
    workers = min(4, os.cpu_count() or 1) if chosen.workers is None else chosen.workers
    return Loading(chosen.stream == "yes", workers, chosen.prefetch)


def build_job(
    recipe: Recipe, parts: Parts, source: Source, device: torch.device, model: nn.Module
) -> Job:
    """Assemble a job from a recipe whose precision and layout are resolved."""
    train = recipe.train
    layout = LAYOUTS[train.memory_format]
    model.to(device=device, memory_format=layout)  # type: ignore[call-overload]
    batches = train_batches(recipe, parts, source, device)
    total_steps = train.epochs * batches.steps_per_epoch
    if train.max_steps is not None:
        total_steps = min(total_steps, train.max_steps)
    schedule = SCHEDULES[recipe.schedule.name]
    optimizer = build_optimizer(recipe, model)
    phases = build_phases(recipe, model, optimizer)
    return Job(
        model=model,
        batches=batches,
        loss=build_loss(recipe, parts).to(device),
        optimizer=optimizer,
        schedule=schedule(total_steps, batches.steps_per_epoch, **recipe.schedule.options),
        precision=make_precision(train.precision, device),
        epochs=train.epochs,
        total_steps=total_steps,
        seed=recipe.seed,
        device=device,
        accumulate=train.accumulate,
        clip_norm=train.clip_norm,
        ema=None if train.ema is None else Ema(model, train.ema),
        check_every=train.log_every,
        validation=eval_batches(recipe, parts, "validation", device),
        phases=phases,
    )


def train_batches(
    recipe: Recipe, parts: Parts, source: Source, device: torch.device
) -> TrainBatches:
    """Return the images to train on, in batches."""
    train = recipe.train
    return TrainBatches(
        parts.train,
        parts.normalise,
        batch_size=train.batch_size,
        augment=augmentation(recipe, source),
        seed=recipe.seed,
        device=device,
        memory_format=LAYOUTS[train.memory_format],
        sampling="balanced" if recipe.data.balance == "sampling" else "shuffled",
        classes=len(parts.classes),
        loading=loading(recipe),
    )


def build_phases(recipe: Recipe, model: nn.Module, optimizer: Optimizer) -> Phases | None:
    """Return the phases of a fine-tuning, None of any other; the backbone is slowed down for it."""
    transfer = recipe.transfer
    slowed = transfer.backbone_rate != 1
    if not (transfer.head_epochs or slowed or transfer.freeze_norm):
        return None
    head = head_of(model)
    if slowed:
        slow_down(optimizer, model.get_submodule(head).parameters(), transfer.backbone_rate)
    return Phases(model, head, head_epochs=transfer.head_epochs, freeze_norm=transfer.freeze_norm)


def eval_batches(
    recipe: Recipe, parts: Parts, part: str, device: torch.device
) -> EvalBatches | None:
    """Return one part of the data, in order; None if the recipe keeps no such part."""
    images = parts.named(part)
    if images is None:
        return None
    return EvalBatches(
        images,
        parts.normalise,
        batch_size=max(recipe.train.batch_size, 256),
        device=device,
        memory_format=LAYOUTS[recipe.train.memory_format],
        loading=loading(recipe),
    )


def build_state(recipe: Recipe, job: Job) -> State:
    """Return the state of a run that has not begun; the best epoch is watched in any case."""
    rule, watch = recipe.train.early_stopping, None
    if rule is not None:
        watch = EarlyStopping(rule.metric, rule.patience, rule.min_delta)
    elif job.validation is not None:
        watch = EarlyStopping("top1", patience=None)
    state = State.new(job, watch)
    if recipe.train.gradient_checkpointing == "all":
        state.recompute = stages_of(job.model)
    return state


def keeps_best(recipe: Recipe) -> bool:
    """Return whether the final weights are those of the best epoch."""
    train = recipe.train
    return train.keep == "best" or (train.keep == "auto" and train.early_stopping is not None)
