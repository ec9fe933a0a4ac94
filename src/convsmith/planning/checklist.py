"""A design's check-list, filled in from the network and the recipe's values, each with a reason."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from convsmith.planning.trace import Layer, Trace

__all__ = ["Check", "Design", "check"]

Verdict = Literal["good", "warn", "bad"]
UNITS = ((1e15, "PFLOP"), (1e12, "TFLOP"), (1e9, "GFLOP"))


@dataclass(frozen=True)
class Check:
    """One line of the list."""

    topic: str
    verdict: Verdict
    reason: str


@dataclass(frozen=True)
class Design:
    """What is asked of a network and of its training."""

    image: tuple[int, int, int]  # channels, height, width
    classes: int
    images: int  # that are trained on
    epochs: int
    batch: int
    micro_batch: int
    learning_rate: float
    schedule: str
    warmup: float
    weight_decay: float
    dropout: float
    smoothing: float
    augmented: bool
    pretrained: bool
    batch_norm: bool
    precision: str
    fastest: str  # precision for this network on the device
    memory: int  # bytes that training takes
    room: int | None  # bytes that there are
    seconds: float  # of the whole run


def check(design: Design, trace: Trace) -> tuple[Check, ...]:
    """Return the check-list of a design.

    Args:
        design: what is asked for.
        trace: of its network, in which layers stand in the order in which they run.
    """
    convolutions = [
        each for each in main_path(trace.layers) if each.kind == "Conv2d" and len(each.output) == 4
    ]
    found: list[Check] = []
    if convolutions:
        found += [
            receptive_field(design, trace.layers),
            strides(design, convolutions),
            widths(convolutions),
            filters(convolutions),
            initialisation(design, trace),
            shortcuts(trace, convolutions),
        ]
    found += [
        task(design, trace),
        regularisation(design, trace),
        schedule(design),
        compute(design, trace),
        memory(design),
        parallelism(design),
        precision(design),
    ]
    return tuple(found)


def receptive_field(design: Design, layers: Sequence[Layer]) -> Check:
    """Compare what a last value sees with the image (Araujo et al., Distill, 2019)."""
    field, jump = 1, 1
    for layer in main_path(layers):
        kernel, stride = layer.window
        field += (kernel - 1) * jump
        jump *= stride
    side = max(design.image[1:])
    words = f"{field} pixels, the image has {side}"
    if field >= side:
        return Check("receptive field", "good", words)
    verdict: Verdict = "warn" if 2 * field >= side else "bad"
    return Check("receptive field", verdict, f"{words}: more layers or strides would see it all")


def main_path(layers: Sequence[Layer]) -> Iterator[Layer]:
    """Yield the layers with a kernel, without those of shortcuts."""
    for layer in layers:
        if layer.window[0] and not any(word in layer.name for word in ("downsample", "shortcut")):
            yield layer


def strides(design: Design, convolutions: Sequence[Layer]) -> Check:
    """Look at the size that is left for the last convolution."""
    height, width = convolutions[-1].output[-2:]
    factor = design.image[1] / max(height, 1)
    words = f"{design.image[1]}x{design.image[2]} becomes {height}x{width}, by {factor:g}"
    if min(height, width) < 2 <= min(design.image[1:]):
        return Check("stride plan", "warn", f"{words}: too small to tell places apart")
    if max(height, width) > 16:
        return Check("stride plan", "warn", f"{words}: costly, another stride is usual")
    return Check("stride plan", "good", words)


def widths(convolutions: Sequence[Layer]) -> Check:
    """Channels should not become fewer where the image becomes smaller."""
    plan = [(layer.output[1], layer.output[-1]) for layer in convolutions]
    stages = [plan[0], *(b for a, b in pairwise(plan) if b[1] < a[1])]
    words = "-".join(str(width) for width, _ in stages)
    fewer = any(b[0] < a[0] for a, b in pairwise(stages))
    if fewer:
        return Check(
            "width schedule", "warn", f"{words}: fewer channels after a stride lose detail"
        )
    return Check("width schedule", "good", f"{words} where the image shrinks")


def filters(convolutions: Sequence[Layer]) -> Check:
    """Vector units and Tensor cores take channels eight or more at a time."""
    odd = sorted({layer.output[1] for layer in convolutions if layer.output[1] % 8})
    if odd:
        listed = ", ".join(map(str, odd[:5]))
        return Check("filters", "warn", f"{listed} are no multiples of 8, which run faster")
    return Check("filters", "good", "all multiples of 8")


def initialisation(design: Design, trace: Trace) -> Check:
    """Without normalisation and shortcuts, the scale of random weights decides."""
    if design.pretrained:
        return Check("initialisation", "good", "from trained weights")
    if any("Norm" in layer.kind for layer in trace.layers):
        return Check("initialisation", "good", "normalisation after convolutions evens it out")
    depth = sum(layer.macs > 0 for layer in trace.layers)
    if depth > 8:
        reason = f"{depth} layers without normalisation: signals may fade"
        return Check("initialisation", "warn", reason)
    return Check("initialisation", "good", f"{depth} layers are few enough without normalisation")


def shortcuts(trace: Trace, convolutions: Sequence[Layer]) -> Check:
    """Deep plain networks are hard to train (He et al., 2015)."""
    added = any(each.name in ("add", "add_") and each.owner for each in trace.inference)
    depth = len(convolutions)
    squeezed = any(
        word in layer.name.lower()
        for layer in trace.layers
        for word in ("attn", "attention", ".se")
    )
    seen = ", with attention" if squeezed else ", without attention"
    if added:
        return Check("shortcuts", "good", f"{depth} convolutions with shortcuts{seen}")
    if depth > 16:
        return Check("shortcuts", "bad", f"{depth} convolutions without shortcuts{seen}")
    return Check("shortcuts", "good", f"{depth} convolutions need no shortcuts{seen}")


def task(design: Design, trace: Trace) -> Check:
    """Compare the network's size with the images there are."""
    each = design.images / design.classes
    ratio = trace.parameters / design.images
    words = f"{trace.parameters:,} parameters for {design.images:,} images, {each:,.0f} a class"
    if each < 20 and not design.pretrained:
        return Check("task", "bad", f"{words}: begin with trained weights (recipe finetune)")
    if ratio > 2000 and not design.pretrained:
        return Check("task", "warn", f"{words}: a smaller network or trained weights fit better")
    return Check("task", "good", words)


def regularisation(design: Design, trace: Trace) -> Check:
    """Say what keeps the network from learning the images by heart."""
    means = {
        "augmentation": design.augmented,
        f"weight decay {design.weight_decay:g}": design.weight_decay > 0,
        f"dropout {design.dropout:g}": design.dropout > 0,
        f"label smoothing {design.smoothing:g}": design.smoothing > 0,
    }
    used = [name for name, there in means.items() if there]
    if used:
        return Check("regularisation", "good", ", ".join(used))
    large = trace.parameters > 10 * design.images
    verdict: Verdict = "bad" if large and design.epochs > 5 else "warn"
    return Check("regularisation", verdict, "none: the network may learn the images by heart")


def schedule(design: Design) -> Check:
    """A rate that falls ends better in any but a short training."""
    words = f"{design.schedule}, {design.epochs} epochs, rate {design.learning_rate:g}"
    if design.schedule == "constant" and design.epochs > 20:
        return Check("schedule", "warn", f"{words}: one that falls, such as cosine, ends better")
    if design.batch > 1024 and not design.warmup:
        return Check("schedule", "warn", f"{words}: a batch of {design.batch} wants a warm-up")
    return Check("schedule", "good", words)


def compute(design: Design, trace: Trace) -> Check:
    """Say what the training costs; backward is about twice forward."""
    total = 6.0 * trace.macs * design.images * design.epochs
    unit, name = next(each for each in UNITS if total >= each[0] or each is UNITS[-1])
    words = f"{total / unit:.3g} {name} in {duration(design.seconds)}"
    verdict: Verdict = "good" if design.seconds < 24 * 3600 else "warn"
    return Check("compute", verdict, words)


def duration(seconds: float) -> str:
    """Return a time in the unit that suits it."""
    if seconds < 90:
        return f"{seconds:.2g} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.3g} hours"


def memory(design: Design) -> Check:
    """Compare what is needed with what there is."""
    need = design.memory / 2**30
    if design.room is None:
        return Check("memory", "good", f"{need:.2f} GiB")
    words = f"{need:.2f} of {design.room / 2**30:.2f} GiB"
    if design.memory > design.room:
        return Check("memory", "bad", f"{words}: see the choices")
    close = design.memory > 0.9 * design.room
    return Check("memory", "warn" if close else "good", f"{words}{': close' if close else ''}")


def parallelism(design: Design) -> Check:
    """Small micro-batches leave a device idle and give BatchNorm little to go by."""
    words = f"{design.micro_batch} images at a time, {design.images // design.batch or 1} steps"
    if design.batch_norm and design.micro_batch < 16:
        return Check("parallelism", "warn", f"{words}: few for BatchNorm (model.norm=group)")
    if design.micro_batch < 8:
        return Check("parallelism", "warn", f"{words}: a larger batch uses the device better")
    return Check("parallelism", "good", f"{words} an epoch")


def precision(design: Design) -> Check:
    """Say whether the device has a faster one."""
    if design.precision == design.fastest:
        return Check("precision", "good", f"{design.precision}, the fastest here")
    return Check("precision", "warn", f"{design.precision}; {design.fastest} is faster here")
