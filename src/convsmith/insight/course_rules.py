"""Rules on how a training went: spikes, over- and underfitting."""

import math
from collections.abc import Iterator
from statistics import median

from convsmith.insight.evidence import Epoch, Evidence, Finding, Level, Plot, rate_sets

__all__ = ["overfitting", "spikes", "underfitting"]

WINDOW = 20  # steps before a step that it is held against
SPIKE = 3.0  # times the middle of the window
TINY = 1e-12  # a loss that is no more can be 0 in single precision
SPIKE_SHARE = 0.5  # of the first loss: a smaller rise is a hard batch
RISE = 1.25  # times the best validation loss
GAP, WIDE_GAP = 0.05, 0.1  # in top-1, between training and validation: beside a rise, and alone
FEWEST_IMAGES = 100  # to validate by: fewer show no gap of that width
LEFT = 0.5  # of a guesser's loss, ln(classes): more is left at the end of what has not been learnt
CLOSE = 0.05  # in top-1: validation no further below training, so nothing is memorised
FEWEST_EPOCHS = 4


def spikes(evidence: Evidence) -> Iterator[Finding]:
    """A loss that leaps up from one step to the next."""
    losses = evidence.losses
    if len(losses) <= WINDOW:
        return
    first = median(loss for _, loss in losses[:5])
    found = []
    for at in range(WINDOW, len(losses)):
        step, loss = losses[at]
        usual = max(median(each for _, each in losses[at - WINDOW : at]), TINY)
        if math.isfinite(loss) and loss > SPIKE * usual and loss > usual + SPIKE_SHARE * first:
            found.append((step, loss, usual))
    if not found:
        return
    step, loss, usual = max(found, key=lambda each: each[1] / each[2])
    at = next(n for n, (each, _) in enumerate(losses) if each == step)
    yield Finding(
        rule="spike",
        severity="warn",
        what="the loss leaps up",
        evidence=f"{loss:.3g} in step {step}, {loss / usual:.1f} times the middle of the "
        f"{WINDOW} before; {len(found)} such step{'s' if len(found) > 1 else ''}",
        cause="a batch unlike the others (broken images or labels), or a step that was too large",
        change="clip gradients; if it stays, look at that batch (`convsmith data verify`)",
        sets=("train.clip_norm=1",),
        step=step,
        plot=Plot("Loss", "step", losses[max(0, at - 100) : at + 100], level=Level(usual, "usual")),
    )


def overfitting(evidence: Evidence) -> Iterator[Finding]:
    """A validation loss that has risen for good while training went on falling."""
    known = [each for each in evidence.epochs if each.val_loss is not None]
    if len(known) < FEWEST_EPOCHS or known[-1].val_top1 is None or known[-1].train_top1 is None:
        return
    best = min(known, key=val_loss)
    end = median(val_loss(each) for each in known[-max(1, len(known) // 10) :])
    gap = known[-1].train_top1 - known[-1].val_top1
    risen = end > RISE * val_loss(best) and gap > GAP
    if evidence.validation < FEWEST_IMAGES or not (risen or gap > WIDE_GAP):
        return
    sets = [] if evidence.settings.augmented else ["data.augment=moderate"]
    if evidence.settings.dropout is not None and evidence.settings.dropout < 0.3:
        sets.append("model.dropout=0.5")
    if evidence.settings.weight_decay < 1e-3:
        sets.append("optimizer.weight_decay=0.001")
    yield Finding(
        rule="overfit",
        severity="bad" if risen and gap > WIDE_GAP else "warn",
        what="the network learns its training images by heart",
        evidence=f"the validation loss was {val_loss(best):.3g} after epoch {best.epoch} and is "
        f"{end:.3g} now, {end / max(val_loss(best), TINY):.3g} times as much; top-1 is "
        f"{known[-1].train_top1:.1%} in training and {known[-1].val_top1:.1%} in validation",
        cause="a network that is large for the number of images, and trained long",
        change="augment, regularise, or stop early",
        sets=(*sets, "train.early_stopping={metric: loss}"),
        step=best.step,
        epoch=best.epoch,
        plot=Plot(
            "Validation loss",
            "epoch",
            tuple((each.epoch, val_loss(each)) for each in known),
            level=Level(val_loss(best), "best"),
        ),
    )


def underfitting(evidence: Evidence) -> Iterator[Finding]:
    """A complete training that has not even learnt its training images."""
    known = [each for each in evidence.epochs if each.train_loss is not None]
    if not evidence.complete or not known:
        return
    last = known[-1]
    guesser = math.log(len(evidence.classes))
    loss, top1 = last.train_loss, last.train_top1
    assert loss is not None
    if top1 is None or loss <= LEFT * guesser:
        return
    if last.val_top1 is not None and top1 - last.val_top1 > CLOSE:
        return
    mixed = evidence.settings.mixed and last.val_loss is not None
    if mixed and val_loss(last) <= LEFT * guesser:
        return  # only mixed images are hard: the loss of what is not mixed is low
    beside = "" if last.val_top1 is None else f" ({last.val_top1:.1%} in validation)"
    yield Finding(
        rule="underfit",
        severity="bad",
        what="the network has not learnt its training images",
        evidence=f"the training loss is {loss:.3g} after the last epoch, {loss / guesser:.0%} of "
        f"that of a guesser, and top-1 is {top1:.1%}{beside}",
        cause="too small a network, too few epochs, too low a rate, or too much regularisation",
        change="train longer, with more layers or wider ones, and less dropout and augmentation",
        sets=tuple(stronger(evidence)),
        step=last.step,
        epoch=last.epoch,
        plot=Plot(
            "Training loss",
            "epoch",
            tuple((each.epoch, each.train_loss) for each in known if each.train_loss is not None),
            level=Level(guesser, "guesser"),
        ),
    )


def stronger(evidence: Evidence) -> Iterator[str]:
    """Yield the ``--set`` values that make a training fit better."""
    settings = evidence.settings
    yield f"train.epochs={3 * settings.epochs}"
    if settings.dropout:
        yield "model.dropout=0"
    if settings.augmented:
        yield "data.augment=none"
    yield from rate_sets(settings, 3)


def val_loss(epoch: Epoch) -> float:
    """Return the validation loss of an epoch that has one."""
    assert epoch.val_loss is not None
    return epoch.val_loss
