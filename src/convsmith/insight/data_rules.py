"""Rules on the data: labels, classes, copies, and how much the validation part can tell."""

import math
from collections.abc import Iterator

from convsmith.insight.evidence import Evidence, Finding, Level, Plot

__all__ = ["imbalance", "label_noise", "leakage", "small_validation"]

NOISE = 0.03  # of the labels
FEWEST = 200  # images, below which shares of labels say nothing
RATIO = (3.0, 10.0)  # images of the largest class to those of the smallest: warn, bad
LEAK = 0.01  # of the held-out images
LIKE = 0.995  # a correlation; different images of digits reach 0.99
INTERVAL = 0.03  # in top-1: what the validation part must be able to tell apart
SIGMAS = 1.96


def label_noise(evidence: Evidence) -> Iterator[Finding]:
    """Labels that are as unlikely to the network as any other wrong class.

    A network that is wrong has the label among its next guesses; a label that is wrong can be
    anywhere. So the images whose label is in the less likely half of the classes tell how many
    labels were drawn at random: noise = that share / (half / (classes - 1)).
    """
    survey = evidence.held_out or evidence.trained
    if survey is None or len(survey.ranks) < 4 or survey.images < FEWEST:
        return
    classes = len(survey.ranks)
    half = classes // 2
    far, chance = sum(survey.ranks[classes - half :]), half / (classes - 1)
    # the lower end of what so many images can mean
    share = max(0.0, far - SIGMAS * math.sqrt(far)) / survey.images / chance
    if share < NOISE or survey.ranks[0] / survey.images < 2 / classes:
        return
    guess = far / survey.images / chance
    part = "held-out" if evidence.held_out is not None else "training"
    yield Finding(
        rule="label-noise",
        severity="bad" if share > 3 * NOISE else "warn",
        what=f"about {guess:.0%} of the labels are wrong",
        evidence=f"for {far:,} of {survey.images:,} {part} images the label is among the "
        f"{half} least likely classes of {classes}, where a network's own mistakes hardly ever are",
        cause="labels that were mixed up, or images of none of the classes",
        change="mend the labels; until then, trust them less",
        sets=("loss.label_smoothing=0.1",),
        plot=Plot(
            "Place of the label among the guesses",
            "place",
            tuple((n, count / survey.images) for n, count in enumerate(survey.ranks, 1)),
            log=False,
        ),
    )


def imbalance(evidence: Evidence) -> Iterator[Finding]:
    """Classes with many times as many images as others, which nothing makes up for."""
    counts = evidence.counts
    if not counts or evidence.settings.balanced:
        return
    least, most = min(counts), max(counts)
    if most < RATIO[0] * max(least, 1):
        return
    names = [evidence.classes[counts.index(each)] for each in (least, most)]
    ratio = f"{most / least:.0f} times as many" if least else "none at all"
    yield Finding(
        rule="imbalance",
        severity="bad" if most >= RATIO[1] * max(least, 1) else "warn",
        what="some classes have far fewer images than others",
        evidence=f"{names[0]!r} has {least:,} training images, {names[1]!r} {most:,}: {ratio}",
        cause="the data as it was collected",
        change="draw rare classes more often, or let them count more; look at per-class accuracy",
        sets=("data.balance=sampling",),
        plot=Plot(
            "Training images by class, sorted",
            "class",
            tuple(enumerate(sorted(map(float, counts), reverse=True), 1)),
        ),
    )


def leakage(evidence: Evidence) -> Iterator[Finding]:
    """Held-out images that are also among the training images, or nearly so."""
    leak = evidence.leak
    if leak is None or leak.copies < max(2, LEAK * leak.images):
        return
    share = leak.copies / leak.images
    pairs = ", ".join(f"{held} and {trained}" for held, trained in leak.examples[:3])
    yield Finding(
        rule="leakage",
        severity="bad",
        what="validation images are among the training images",
        evidence=f"{leak.copies:,} of {leak.images:,} ({share:.1%}) are nearly the same as a "
        f"training image, such as {pairs}",
        cause="copies in the data, or pictures of one thing that were split up",
        change="remove copies; keep what belongs together in one part, with the column `group` of "
        "a CSV file or files of its own for validation (val/)",
        plot=Plot(
            "Likeness of each held-out image to its likest training image",
            "image",
            tuple(enumerate(leak.likeness, 1)),
            level=Level(LIKE, "nearly the same"),
        ),
    )


def small_validation(evidence: Evidence) -> Iterator[Finding]:
    """A validation part that chooses between weights whose difference it cannot see."""
    known = [each.val_top1 for each in evidence.epochs if each.val_top1 is not None]
    images = evidence.validation
    if not evidence.settings.chosen or not images or len(known) < 2:
        return
    best, last = max(known), known[-1]
    right = (best * images + 2) / (images + 4)  # Agresti & Coull, 1998
    width = SIGMAS * math.sqrt(2 * right * (1 - right) / (images + 4))
    claimed = best - last
    if width <= max(INTERVAL, claimed):
        return
    needed = math.ceil(2 * right * (1 - right) * (SIGMAS / INTERVAL) ** 2)
    total = sum(evidence.counts) + images
    share = min(0.5, needed / total)
    yield Finding(
        rule="small-validation",
        severity="warn",
        what="the validation part is too small for what it decides",
        evidence=f"{images:,} images tell accuracies apart that differ by {width:.1%} (95 %), and "
        f"chose an epoch that is {claimed:.1%} better than the last",
        cause="few images, or a small share of them",
        change=f"about {needed:,} images tell {INTERVAL:.0%} apart; or compare several seeds",
        sets=(f"data.validation={share:.2g}",),
        plot=Plot(
            "Validation top-1",
            "epoch",
            tuple(enumerate(known, 1)),
            level=Level(best - width, "not told apart from the best"),
        ),
    )
