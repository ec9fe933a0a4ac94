"""What a recipe holds. Validated once; nothing below the recipe package ever sees one."""

from typing import TYPE_CHECKING, Annotated, Literal

from annotated_types import Ge, Gt, Le, Lt
from pydantic import AfterValidator, Field, Strict, create_model
from pydantic_core import PydanticCustomError

from convsmith.bounds import Count, Fraction, NonNegative, Positive, Share, Whole
from convsmith.data.augment import Augment
from convsmith.data.decode import Resize
from convsmith.errors import UserError
from convsmith.models import MODELS
from convsmith.recipe.sections import Frozen, Section, named_section, options_of
from convsmith.sizes import parse_memory
from convsmith.training.losses import LOSSES
from convsmith.training.optimizers import OPTIMIZERS
from convsmith.training.schedules import SCHEDULES

__all__ = [
    "Budget",
    "Checkpointing",
    "Data",
    "EarlyStop",
    "LoadingOptions",
    "OnNonFinite",
    "Recipe",
    "Train",
    "Transfer",
]

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


Side = Annotated[Count, Le(8192)]


class LoadingOptions(Frozen):
    """Where batches are put together."""

    stream: Literal["auto", "yes", "no"] = Field(
        "auto", description="Read batches ahead in threads; auto is if memory is short."
    )
    memory_share: Share = Field(
        0.5, description="What the images of all parts may take of the device's free memory."
    )
    workers: Annotated[Whole, Le(256)] | None = Field(
        None, description="Threads that read ahead; by default 4, or the cores if fewer."
    )
    prefetch: Count = Field(2, description="Batches that each of them reads ahead.")


class Data(Frozen):
    """Which images, how they are read and changed, and how many are kept for validation."""

    source: str = Field(
        description="digits, moons, circles, mnist, fashion_mnist, cifar10, cifar100, "
        "folder:PATH or csv:PATH."
    )
    image_size: tuple[Side, Side] | None = Field(
        None, description="Height and width of files, or one number for both; None is their own."
    )
    channels: Literal[1, 3] | None = Field(None, description="1 is grey, 3 is red, green, blue.")
    resize: Resize = Field("stretch", description="How files of other proportions are made to fit.")
    on_bad_image: Literal["error", "skip"] = Field(
        "error", description="What to do with files that cannot be used; all are listed."
    )
    mean: tuple[float, ...] | None = Field(
        None, description="What normalisation subtracts, by channel; None is measured."
    )
    std: tuple[Positive, ...] | None = Field(
        None, description="What normalisation divides by, by channel; None is measured."
    )
    augment: str | AugmentOptions = Field(
        "none",
        description="A level (none, light, moderate, strong) or operations with their strengths.",
    )
    mirrored: bool | None = Field(
        None,
        description="Whether an image keeps its class when mirrored, so that levels may flip it; "
        "None is what is known of the data set, and true for files and data of one's own.",
    )
    levels: dict[str, AugmentOptions] = Field(
        {}, description="What the words for levels mean here, where it is not the usual."
    )
    balance: Literal["none", "sampling", "weights"] = Field(
        "none", description="Rare classes are drawn more often, or count more in the loss."
    )
    test: Annotated[float, Ge(0.01), Le(0.9)] = Field(
        0.2, description="The share that is kept for the test where a data set has no test part."
    )
    validation: Annotated[float, Ge(0), Le(0.9)] = Field(
        0.1, description="The share of the training part that is kept for validation; 0 keeps none."
    )
    loading: LoadingOptions = LoadingOptions()


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
    accumulate: Count = Field(
        1,
        description="Micro-batches that each batch is split into: equal to the large batch to "
        "rounding, but for BatchNorm's statistics and dropout, which are each micro-batch's own.",
    )
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    memory_format: Literal["auto", "contiguous", "channels_last"] = "auto"
    device: str = Field("auto", description="auto, cpu, cuda or cuda:N.")
    deterministic: bool = Field(True, description="On a GPU, only deterministic algorithms.")
    gradient_checkpointing: Literal["none", "auto", "all"] = Field(
        "none",
        description="Stages that keep only their inputs and are computed again in the backward "
        "pass: less memory, more time, the same result. auto: as many as budget.memory needs.",
    )
    clip_norm: Positive | None = Field(None, description="The largest 2-norm of the gradient.")
    ema: Fraction | None = Field(None, description="The decay of the weights' moving average.")
    keep: Literal["auto", "best", "last"] = Field(
        "auto", description="Final weights; auto is best under early stopping, otherwise last."
    )
    early_stopping: EarlyStop | None = None
    on_nonfinite: OnNonFinite = OnNonFinite()
    log_every: Count = Field(50, description="Steps between looks at the loss.")
    watch: bool = Field(
        False,
        description="Log histograms of weights, gradients and outputs of the layers once an epoch.",
    )
    tensorboard: bool = Field(False, description="Write TensorBoard's events too (extra track).")
    checkpoint: Checkpointing = Checkpointing()


class Transfer(Frozen):
    """Begin with the weights of a trained network, all but the last layer, and fine-tune them."""

    weights: str | None = Field(
        None,
        description="hub, a .safetensors or .pth file, or a run; None is random ones.",
    )
    head_epochs: Whole = Field(0, description="Epochs at first in which only the head learns.")
    backbone_rate: Annotated[float, Gt(0), Le(1)] = Field(
        1.0, description="The rate of all but the last layer, as a share of the learning rate."
    )
    freeze_norm: bool = Field(
        False, description="Keep BatchNorm's running statistics as they were loaded."
    )


def readable_memory(text: str) -> str:
    """Return the text if it says how much memory, for pydantic."""
    try:
        parse_memory(text)
    except UserError as error:
        raise PydanticCustomError("memory", "{problem}", {"problem": str(error)}) from error
    return text


class Budget(Frozen):
    """What a training may take; it is made to fit, or refused before it begins."""

    memory: Annotated[str, AfterValidator(readable_memory)] = Field(
        "none",
        description="What training may take of the device's memory beyond the libraries: a size "
        "such as 6GB, a share of what is free such as 90%, or none.",
    )
    parameters: Count | None = Field(None, description="The most parameters of the network.")
    flops: Positive | None = Field(
        None, description="The most FLOPs of an image's forward pass; a multiply-add counts as 2."
    )


class Recipe(Frozen):
    """A whole experiment."""

    seed: Annotated[int, Strict(), Ge(0), Lt(2**63)] = 0
    data: Data
    model: ModelSection
    loss: LossSection = Field(default={"name": "cross_entropy"})  # type: ignore[assignment]
    optimizer: OptimizerSection = Field(default={"name": "adam"})  # type: ignore[assignment]
    schedule: ScheduleSection = Field(default={"name": "constant"})  # type: ignore[assignment]
    transfer: Transfer = Transfer()
    train: Train = Train()
    budget: Budget = Budget()
