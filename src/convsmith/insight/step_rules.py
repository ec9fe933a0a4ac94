"""Rules on single steps of training: gradients, updates, values that are not finite."""

import math
from collections.abc import Iterator
from statistics import median

from convsmith.insight.evidence import Evidence, Finding, Level, Plot, norm_sets, rate_sets
from convsmith.insight.watch import Reading

__all__ = ["exploding", "nonfinite", "rate_too_high", "rate_too_low", "vanishing"]

# Of the largest absolute gradient of a layer: a mean loss that can be learnt is far from both ends
EXPLODING, VANISHING = 100.0, 1e-6
LEARNT = 0.1  # of the first loss: where less is left, small gradients are the aim reached
# A step should change a weight by about a thousandth: Karpathy, CS231n, "Ratio of weights:updates"
RATIO_HIGH, USUAL, RATIO_LOW = 0.02, 1e-3, 1e-4
RISE = 0.2  # of the first loss: by more it does not rise by chance, over windows of steps
WINDOWS = 20
FALLEN = 0.9  # of the first loss: what is above has not learnt anything


def nonfinite(evidence: Evidence) -> Iterator[Finding]:
    """NaN or infinity, with the first layer and step."""
    found = evidence.nonfinite
    if found is None:
        return
    settings = evidence.settings
    sets: tuple[str, ...]
    if "images themselves" in found.where:
        change, sets = "mend the data: its values must be finite", ("data.augment=none",)
        cause = "the data holds values that are not finite"
    else:
        change = "lower the learning rate, and clip gradients"
        sets = (*rate_sets(settings, 0.1), "train.clip_norm=1")
        cause = "steps too large, or an operation without a limit (division, logarithm, root of 0)"
        if settings.precision == "fp16":
            cause += ", or the range of fp16"
            sets = (*sets, "train.precision=fp32")
    yield Finding(
        rule="nonfinite",
        severity="bad",
        what="NaN or infinity",
        evidence=f"in step {found.step + 1}, first {found.where or 'at an unknown place'}",
        cause=cause,
        change=change,
        sets=sets,
        layer=quoted(found.where),
        step=found.step + 1,
        plot=loss_plot(evidence),
    )


def exploding(evidence: Evidence) -> Iterator[Finding]:
    """A gradient with values above 100.

    One that is not finite is another rule's, or a step that fp16 left out, as it does by design.
    """
    seen = [
        (layer.gradient.largest, layer.name, reading)
        for reading in evidence.readings
        for layer in reading.layers
        if math.isfinite(layer.gradient.largest)
    ]
    largest, name, reading = max(seen, key=lambda each: each[0], default=(0.0, "", None))
    if reading is None or largest <= EXPLODING:
        return
    yield Finding(
        rule="exploding",
        severity="bad",
        what=f"the gradient of {name} explodes",
        evidence=f"its largest absolute value is {largest:.3g} in step {reading.step}; "
        f"{EXPLODING:g} is the limit",
        cause="weights that are too large at the start, no normalisation, or a loss out of scale",
        change="clip gradients; normalise between the layers",
        sets=("train.clip_norm=1", *norm_sets(evidence.settings)),
        layer=name,
        step=reading.step,
        plot=gradient_plot(reading, EXPLODING),
    )


def vanishing(evidence: Evidence) -> Iterator[Finding]:
    """A layer whose gradients are all below 1e-6 though there is something to learn."""
    readings = learning(evidence)
    by_layer: dict[str, list[float]] = {}
    for reading in readings:
        for layer in reading.layers:
            by_layer.setdefault(layer.name, []).append(layer.gradient.largest)
    gone = {name: median(each) for name, each in by_layer.items() if median(each) < VANISHING}
    if not gone:
        return
    name, size = next(iter(gone.items()))  # the first in the order of the forward pass
    yield Finding(
        rule="vanishing",
        severity="bad",
        what=f"the gradient of {name} vanishes",
        evidence=f"its largest absolute value is {size:.2g} in the middle of {len(readings)} "
        f"watched steps, and so in {len(gone)} of {len(by_layer)} layers; {VANISHING:g} is the "
        "limit",
        cause="saturated activations, weights that are too small at the start, or a depth that "
        "neither normalisation nor shortcuts bridge",
        change="normalise between the layers, or take a residual network",
        sets=norm_sets(evidence.settings) or ("model.name=resnet_small",),
        layer=name,
        step=readings[-1].step,
        plot=gradient_plot(readings[len(readings) // 2], VANISHING),
    )


def rate_too_high(evidence: Evidence) -> Iterator[Finding]:
    """Steps that move the weights by several per cent, and a loss that suffers from it."""
    ratios = [
        (each.step, ratio)
        for each in evidence.readings
        if (ratio := middle_ratio(each)) is not None
    ]
    first, last = ends(evidence)
    large = tenth_largest([ratio for _, ratio in ratios])
    rise = highest_rise(evidence)
    suffers = rise > RISE * first or last > FALLEN * first
    if large <= RATIO_HIGH or not suffers:
        return
    yield Finding(
        rule="rate-high",
        severity="bad",
        what="the learning rate is too high: weights are thrown about",
        evidence=f"in a tenth of the steps, a layer's weights change by {share(large)} or more "
        f"(the middle of all layers); about {USUAL:.1%} is usual. The loss went from {first:.3g} "
        f"to {last:.3g}, and on the way rose by {rise:.3g}",
        cause="a learning rate that is too high for this network and batch",
        change="a lower rate (`convsmith lr` finds one)",
        sets=rate_sets(evidence.settings, min(0.1, power(RATIO_HIGH / 4 / min(large, 1e9)))),
        step=max(ratios, key=lambda each: each[1])[0],
        plot=Plot(
            "Update to weight ratio", "step", tuple(ratios), log=True, level=Level(USUAL, "usual")
        ),
    )


def rate_too_low(evidence: Evidence) -> Iterator[Finding]:
    """Steps that hardly move the weights, while there is nearly everything to learn."""
    ratios = [
        (each.step, ratio)
        for each in evidence.readings
        if (ratio := middle_ratio(each)) is not None
    ]
    first, last = ends(evidence)
    if not ratios or median(ratio for _, ratio in ratios) >= RATIO_LOW or last < 0.5 * first:
        return
    typical = median(ratio for _, ratio in ratios)
    yield Finding(
        rule="rate-low",
        severity="bad",
        what="the learning rate is too low: the weights hardly move",
        evidence=f"a step changes a layer's weights by {typical:.2g} of their size (the middle of "
        f"all layers and steps); about {USUAL:g} is usual. The loss went from {first:.3g} to "
        f"{last:.3g}",
        cause="a learning rate that is too low for this network and batch",
        change="a higher rate (`convsmith lr` finds one)",
        sets=rate_sets(evidence.settings, max(10.0, power(USUAL / max(typical, 1e-9)))),
        plot=Plot(
            "Update to weight ratio", "step", tuple(ratios), log=True, level=Level(USUAL, "usual")
        ),
    )


def learning(evidence: Evidence) -> list[Reading]:
    """Return the readings from while there was much to learn.

    That is told by the first loss of the training: readings may all be from its end.
    """
    if not evidence.readings:
        return []
    first = max(evidence.readings[0].loss, ends(evidence)[0])
    return [each for each in evidence.readings if each.loss > LEARNT * first]


def ends(evidence: Evidence) -> tuple[float, float]:
    """Return the loss at the beginning and at the end, each over a tenth of what is known."""
    losses = [loss for _, loss in evidence.losses] or [each.loss for each in evidence.readings]
    if not losses:
        return 0.0, 0.0
    some = max(1, len(losses) // 10)
    return median(losses[:some]), median(losses[-some:])


def middle_ratio(reading: Reading) -> float | None:
    """Return the middle update-to-weight ratio of a step's layers; None if it made no update.

    Nor is there one where most weights are no longer finite.
    """
    ratios = [each.update_ratio for each in reading.layers if each.update_ratio is not None]
    middle = median(math.inf if math.isnan(each) else each for each in ratios) if ratios else None
    return middle if middle is not None and math.isfinite(middle) else None


def tenth_largest(values: list[float]) -> float:
    """Return the value that a tenth of them reach; 0 if there is none."""
    ordered = sorted(values, reverse=True)
    return ordered[len(ordered) // 10] if ordered else 0.0


def highest_rise(evidence: Evidence) -> float:
    """Return by how much the loss rose at most, above its lowest before; over windows of steps."""
    losses = [loss for _, loss in evidence.losses]
    size = max(1, len(losses) // WINDOWS)
    middles = [median(losses[at : at + size]) for at in range(0, len(losses), size)]
    lowest, rise = math.inf, 0.0
    for each in middles:
        lowest = min(lowest, each)
        rise = max(rise, each - lowest)
    return rise


def share(value: float) -> str:
    """Return a share for a person: ``12.5%``, and ``3e+30 times`` what it is of."""
    return f"{value:.1%}" if value < 10 else f"{value:.2g} times"


def power(factor: float) -> float:
    """Return the power of ten next to a factor."""
    return float(10.0 ** round(math.log10(factor)))


def quoted(where: str) -> str | None:
    """Return the layer's name in a phrase such as ``in the output of `stem.0```."""
    parts = where.split("`")
    return parts[1] if len(parts) == 3 else None


def loss_plot(evidence: Evidence) -> Plot | None:
    """Return the loss by step, if it is known."""
    return Plot("Loss", "step", evidence.losses[-200:]) if evidence.losses else None


def gradient_plot(reading: Reading, limit: float) -> Plot:
    """Return the largest absolute gradient by depth."""
    points = [(n, max(each.gradient.largest, 1e-30)) for n, each in enumerate(reading.layers, 1)]
    return Plot(
        f"Largest gradient by depth, step {reading.step}",
        "layer",
        tuple(points),
        log=True,
        level=Level(limit, "limit"),
    )
