"""Rules on what a whole pass of data shows: units, normalisation, inputs."""

from collections.abc import Iterator, Sequence
from statistics import median

from convsmith.insight.evidence import Evidence, Finding, Level, Plot, norm_sets, rate_sets

__all__ = ["batch_norm", "dead_units", "inputs", "saturated"]

# Of a layer's channels, warn and bad; hidden units without places speak up for few images, and in
# healthy small networks 60 % of them are silent
DEAD, DEAD_HIDDEN = (0.5, 0.75), (0.9, 0.97)
FEW = 4  # channels: a layer with fewer says nothing about shares
SATURATED = 0.5  # of outputs within 0.05 of an end: Glorot & Bengio, 2010, figures 2 and 3
MEAN, STD = 0.5, (0.5, 2.0)  # of what BatchNorm makes 0 and 1
OFF = 0.25  # of a layer's channels
INPUT_MEAN, INPUT_STD = 1.0, (1 / 3, 3.0)


def dead_units(evidence: Evidence) -> Iterator[Finding]:
    """Channels behind a ReLU that are zero for every image."""
    survey = evidence.trained
    if survey is None:
        return
    found = [each for each in survey.units if each.kind == "relu" and each.channels >= FEW]
    shares = [len(each.dead) / each.channels for each in found]
    over = [
        (share / limits[0], share >= limits[1], each)
        for share, each in zip(shares, found, strict=True)
        if share >= (limits := DEAD if each.places else DEAD_HIDDEN)[0]
    ]
    if not over:
        return
    _, bad, worst = max(over, key=lambda each: each[0])
    dead = sum(len(each.dead) for each in survey.units)
    yield Finding(
        rule="dead-relu",
        severity="bad" if bad else "warn",
        what=f"dead units in {worst.name}",
        evidence=f"{len(worst.dead)} of its {worst.channels} channels are zero everywhere in all "
        f"of {survey.images:,} images ({dead} in the whole network); "
        f"{worst.zeros:.0%} of its outputs are zero",
        cause="a step that was too large has pushed their inputs below zero for good, or a bias "
        "holds them there",
        change="a lower learning rate, or normalisation before the ReLU",
        sets=(*rate_sets(evidence.settings, 0.1), *norm_sets(evidence.settings)),
        layer=worst.name,
        plot=unit_plot(
            "Dead channels by layer", shares, (DEAD if worst.places else DEAD_HIDDEN)[0]
        ),
    )


def saturated(evidence: Evidence) -> Iterator[Finding]:
    """Sigmoids or hyperbolic tangents that are mostly at an end of their range."""
    survey = evidence.trained
    if survey is None:
        return
    found = [(each.saturated, each) for each in survey.units if each.saturated is not None]
    share, worst = max(found, key=lambda each: each[0], default=(0.0, None))
    if worst is None or share < SATURATED:
        return
    yield Finding(
        rule="saturated",
        severity="bad",
        what=f"{worst.name} is saturated",
        evidence=f"{share:.0%} of the outputs of its {worst.kind} lie within 0.05 of an end of "
        f"their range, over {survey.images:,} images",
        cause="inputs that are too large: weights, the rate, or unnormalised layers before",
        change="normalise before it, or use ReLU; a lower learning rate keeps its inputs small",
        sets=(*norm_sets(evidence.settings), *rate_sets(evidence.settings, 0.1)),
        layer=worst.name,
        plot=unit_plot("Saturated outputs by layer", [each for each, _ in found], SATURATED),
    )


def batch_norm(evidence: Evidence) -> Iterator[Finding]:
    """BatchNorm whose running statistics are not those of the data."""
    survey = evidence.trained
    if survey is None:
        return
    shares = []
    for each in survey.norms:
        pairs = list(zip(each.means, each.stds, strict=True))
        off = [not (abs(mean) <= MEAN and STD[0] <= std <= STD[1]) for mean, std in pairs]
        shares.append((sum(off) / len(off), each))
    share, worst = max(shares, key=lambda each: each[0], default=(0.0, None))
    if worst is None or share < OFF:
        return
    spread = sorted(worst.stds)
    mean = median(abs(each) for each in worst.means)
    yield Finding(
        rule="batch-norm",
        severity="bad",
        what=f"the statistics of {worst.name} are not those of the data",
        evidence=f"in evaluation, {share:.0%} of its channels are far from mean 0 and deviation 1 "
        f"before scale and shift, over {survey.images:,} images: the middle absolute mean is "
        f"{mean:.2g}, the middle deviation {spread[len(spread) // 2]:.2g}",
        cause="too small batches, a momentum that follows too slowly, or other images in "
        "evaluation than in training",
        change="normalise without the batch, or use larger micro-batches",
        sets=("model.norm=group",)
        if evidence.settings.norm is not None
        else ("train.accumulate=1",),
        layer=worst.name,
        plot=unit_plot("Channels off by layer", [each for each, _ in shares], OFF),
    )


def inputs(evidence: Evidence) -> Iterator[Finding]:
    """Images that reach the network unnormalised."""
    survey = evidence.trained
    if survey is None:
        return
    mean, std = survey.input_mean, survey.input_std
    if abs(mean) <= INPUT_MEAN and INPUT_STD[0] <= std <= INPUT_STD[1]:
        return
    yield Finding(
        rule="input-scale",
        severity="bad",
        what="the network's input is not normalised",
        evidence=f"over {survey.images:,} images it has mean {mean:.3g} and deviation {std:.3g}; "
        "0 and 1 are meant",
        cause="mean and deviation that belong to other images or to another scale",
        change="let them be measured on the training images",
        sets=("data.mean=null", "data.std=null"),
        plot=Plot(
            "Input",
            "0: mean, 1: deviation",
            ((0, mean), (1, std)),
            level=Level(1.0, "deviation meant"),
        ),
    )


def unit_plot(title: str, shares: Sequence[float], limit: float) -> Plot:
    """Return shares by layer."""
    return Plot(title, "layer", tuple(enumerate(shares, 1)), level=Level(limit, "limit"))
