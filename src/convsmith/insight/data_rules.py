"""Rules on the data: labels, classes, copies, and how much the validation part can tell."""

import math
from collections.abc import Iterator
from statistics import median

from convsmith.insight.evidence import Evidence, Finding, Level, Plot

__all__ = ["imbalance", "label_noise", "leakage", "small_validation"]

NOISE = 0.03  # of the labels
FEWEST = 100  # images, below which shares of labels say nothing
RATIO = (3.0, 10.0)  # images of the largest class to those of the smallest: warn, bad
LEAK = 0.01  # of the held-out images
LIKE = 0.995  # a correlation; different images of digits reach 0.99
INTERVAL = 0.03  # in top-1: what the validation part must be able to tell apart
SIGMAS = 1.96


def label_noise(evidence: Evidence) -> Iterator[Finding]:
    """Labels that a sure network finds as unlikely as any other wrong class.

    Where a network is sure and wrong, the label is among its next guesses; a label that is wrong
    can be anywhere. So the images whose label is in the less likely half of the classes tell how
    many labels were drawn at random: noise = that share / (half / (classes - 1)). A network whose
    own mistakes, what the likelier half holds beyond that, are more than the noise cannot tell.
    """
    survey = evidence.held_out or evidence.trained
    if survey is None or len(survey.sure) < 4 or sum(survey.sure) < FEWEST:
        return
    images, classes = sum(survey.sure), len(survey.sure)
    half = classes // 2
    places = survey.sure[classes - half :]
    far, chance = sum(places), half / (classes - 1)
    # the lower end of what so many images can mean
    least = max(0.0, far - SIGMAS * math.sqrt(far)) / images / chance
    anywhere = median(places) >= far / half / 2  # and not in one place, as of a class never seen
    own = sum(survey.sure[1 : classes - half]) - far * (classes - half - 1) / half
    if least < NOISE or not anywhere or own > least * images:
        return
    part = "held-out" if evidence.held_out is not None else "training"
    yield Finding(
        rule="label-noise",
        severity="bad" if least > 3 * NOISE else "warn",
        what=f"about {min(1.0, far / images / chance):.0%} of the labels are wrong",
        evidence=f"among the {images:,} {part} images in which the network is surest, the label of "
        f"{far:,} is one of the {half} least likely classes of {classes}; mistakes of a network's "
        "own hardly ever are",
        cause="labels that were mixed up, or images of none of the classes",
        change="mend the labels; until then, trust them less",
        sets=("loss.label_smoothing=0.1",),
        plot=Plot(
            "Place of the label among the guesses, where sure",
            "place",
            tuple((n, count / images) for n, count in enumerate(survey.sure, 1)),
        ),
    )


def imbalance(evidence: Evidence) -> Iterator[Finding]:
    """Classes with many times as many images as others, which nothing makes up for."""
    counts = evidence.counts
    if not counts or evidence.settings.balanced:
        return
    least, most, mean = min(counts), max(counts), sum(counts) / len(counts)
    by_chance = max(mean - least, most - mean) <= 3 * math.sqrt(mean)
    if most < RATIO[0] * max(least, 1) or by_chance:
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
