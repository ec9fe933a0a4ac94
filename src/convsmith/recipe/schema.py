"""What a recipe holds. Validated once; nothing below the recipe package ever sees one."""

from typing import TYPE_CHECKING, Annotated, Literal

from annotated_types import Ge, Gt, Le, Lt
from pydantic import Field, Strict, create_model

from convsmith.bounds import Count, Fraction, NonNegative, Positive
from convsmith.data.augment import Augment
from convsmith.models import MODELS
from convsmith.recipe.sections import Frozen, Section, named_section, options_of
from convsmith.training.losses import LOSSES
from convsmith.training.optimizers import OPTIMIZERS
from convsmith.training.schedules import SCHEDULES

__all__ = ["Checkpointing", "Data", "EarlyStop", "OnNonFinite", "Recipe", "Train"]

if TYPE_CHECKING:
    AugmentOptions = Frozen
    ModelSection = Section
    LossSection = Section
    OptimizerSection = Section
    ScheduleSection = Section
else:
    AugmentOptions = create_model("augment", __base__=Frozen, **options_of(Augment))
    ModelSection = named_section("model", MODELS)
    LossSection = named_section("loss", LOSSES)
    OptimizerSection = named_section("optimizer", OPTIMIZERS)
    ScheduleSection = named_section("schedule", SCHEDULES)


class Data(Frozen):
    """Which images, how they are changed, and how many are kept for validation."""

    source: str = Field(description="A data set: digits, moons, circles, mnist, fashion_mnist.")
    augment: str | AugmentOptions = Field(
        "none", description="A level (none, light) or operations with their strengths."
    )
    validation: Annotated[float, Ge(0), Le(0.9)] = Field(
        0.1, description="The share of the training part that is kept for validation; 0 keeps none."
    )


class EarlyStop(Frozen):
    """Stop when the validation part has not improved for a while."""

    metric: Literal["loss", "top1"] = "loss"
    patience: Count = Field(7, description="Epochs to wait for something better.")
    min_delta: NonNegative = Field(0.0, description="What counts as better.")


class OnNonFinite(Frozen):
    """What to do when the loss or a gradient becomes NaN or infinite."""

    action: Literal["stop", "rollback"] = "stop"
    rate_factor: Annotated[float, Gt(0), Lt(1)] = Field(
        0.5, description="What a rollback multiplies the rate by."
    )
    at_most: Count = Field(3, description="Rollbacks before giving up.")


class Checkpointing(Frozen):
    """When checkpoints are written, and how many are kept."""

    every_epochs: Count | None = 5
    every_steps: Count | None = None
    every_seconds: Positive | None = 300.0
    keep: Count = 2


class Train(Frozen):
    """How long, how large, how exact."""

    epochs: Annotated[Count, Le(1_000_000)] = 10
    batch_size: Annotated[Count, Le(1_000_000)] = Field(
        64, description="The effective batch: images in one optimizer step."
    )
    max_steps: Count | None = Field(None, description="An end before that of the last epoch.")
    accumulate: Count = Field(1, description="Micro-batches that each batch is split into.")
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    memory_format: Literal["auto", "contiguous", "channels_last"] = "auto"
    device: str = Field("auto", description="auto, cpu, cuda or cuda:N.")
    deterministic: bool = Field(True, description="On a GPU, only deterministic algorithms.")
    memory_fraction: Annotated[float, Gt(0), Le(1)] | None = Field(
        None, description="The share of a GPU's memory that may be used."
    )
    clip_norm: Positive | None = Field(None, description="The largest 2-norm of the gradient.")
    ema: Fraction | None = Field(None, description="The decay of the weights' moving average.")
    keep: Literal["auto", "best", "last"] = Field(
        "auto", description="Final weights; auto is best under early stopping, otherwise last."
    )
    early_stopping: EarlyStop | None = None
    on_nonfinite: OnNonFinite = OnNonFinite()
    log_every: Count = Field(50, description="Steps between looks at the loss.")
    checkpoint: Checkpointing = Checkpointing()


class Recipe(Frozen):
    """A whole experiment."""

    seed: Annotated[int, Strict(), Ge(0), Lt(2**63)] = 0
    data: Data
    model: ModelSection
    loss: LossSection = Field(default={"name": "cross_entropy"})  # type: ignore[assignment]
    optimizer: OptimizerSection = Field(default={"name": "adam"})  # type: ignore[assignment]
    schedule: ScheduleSection = Field(default={"name": "constant"})  # type: ignore[assignment]
    train: Train = Train()
