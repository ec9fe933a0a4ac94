"""What a run's probabilities are worth, and what the temperature changed: ``calibration.json``."""

from dataclasses import dataclass

from markupsafe import Markup

from convsmith.reporting.numbers import percent, short
from convsmith.reporting.reliability import Bin, Line, reliability_diagram
from convsmith.reporting.sections import Absent, read_file
from convsmith.runs.folder import RunFolder

__all__ = ["Confidence", "Measured", "read_confidence"]

ORANGE, BLUE = 1, 0


@dataclass(frozen=True)
class Measured:
    """How true one set of probabilities is; see ``convsmith.insight.calibration``."""

    ece: float
    ece_if_true: float
    log_loss: float
    brier: float
    confidence: float
    accuracy: float
    bins: tuple[Bin, ...]


@dataclass(frozen=True)
class Stored:
    """The whole of ``calibration.json``; ``after`` is None where no temperature was fitted."""

    part: str
    images: int
    temperature: float
    fitted_on: int
    note: str
    before: Measured
    after: Measured | None


@dataclass(frozen=True)
class Row:
    """One figure before and after."""

    label: str
    before: str
    after: str
    words: str


@dataclass(frozen=True)
class Confidence:
    """What the section shows."""

    part: str
    diagram: Markup
    verdict: str
    change: str
    rows: tuple[Row, ...]
    fitted: bool


def read_confidence(run: RunFolder) -> Confidence | Absent:
    """Read how true the probabilities are."""
    found = read_file(run.calibration, Stored)
    if isinstance(found, Absent):
        return found
    sets = [found.before, *([found.after] if found.after else [])]
    if found.images < 1 or any(not each.bins or not whole(each) for each in sets):
        return Absent("calibration.json is damaged: it holds no images.", damaged=True)
    lines = [Line("as trained", ORANGE, found.before.bins)]
    if found.after:
        lines.append(Line("after the temperature", BLUE, found.after.bins))
    return Confidence(
        part=found.part,
        diagram=reliability_diagram("reliability", lines),
        verdict=verdict(found.before),
        change=change(found),
        rows=rows(found.before, found.after),
        fitted=found.after is not None,
    )


def whole(measured: Measured) -> bool:
    """Return whether the bins are shares of some images, as they are drawn."""
    return all(
        each.images > 0
        and all(0 <= share <= 1 for share in (each.low, each.high, each.confidence, each.accuracy))
        and 0 <= each.least <= each.most <= 1
        for each in measured.bins
    )


def verdict(measured: Measured) -> str:
    """Return in a sentence whether the network is too sure."""
    says, right = percent(measured.confidence), percent(measured.accuracy)
    gap = measured.confidence - measured.accuracy
    if measured.ece <= 1.5 * measured.ece_if_true:
        how = "as true as can be told from so many images"
    elif abs(gap) < 0.5 * measured.ece:
        how = "too sure of some guesses and not sure enough of others"
    else:
        how = "surer than it should be" if gap > 0 else "less sure than it could be"
    return f"As trained, it says {says} on average and is right {right} of the time: it is {how}."


def change(found: Stored) -> str:
    """Return in sentences what the temperature is and what it changed."""
    if found.after is None:
        reason = f": {found.note}" if found.note else ""
        return f"Its probabilities are used as they are{reason}."
    words = (
        f"A temperature of {found.temperature:.3g}, fitted on the {found.fitted_on:,} images of "
        "the validation part, is stored with the network, and predicting divides by it. It "
        "changes how sure the network is, never what it guesses. "
    )
    before, after = found.before, found.after
    better = [after.ece < before.ece, after.log_loss < before.log_loss]
    here = f"On the {found.part} part, which it was not fitted on, "
    moved = (
        f"the calibration error went from {percent(before.ece)} to {percent(after.ece)} and the "
        f"log loss from {short(before.log_loss)} to {short(after.log_loss)}"
    )
    judged = {2: "", 1: ", which is not better in both", 0: ", which is worse"}[sum(better)]
    return f"{words}{here}{moved}{judged}."


def rows(before: Measured, after: Measured | None) -> tuple[Row, ...]:
    """Return the figures, before and after."""
    last = after or before
    return (
        Row(
            "calibration error",
            percent(before.ece),
            percent(last.ece),
            f"mean distance of a dot from the diagonal; with true probabilities so many images "
            f"would show about {percent(last.ece_if_true)}",
        ),
        Row("log loss", short(before.log_loss), short(last.log_loss), "in nats; less is better"),
        Row(
            "Brier score",
            short(before.brier),
            short(last.brier),
            "squared error of all probabilities, from 0 to 2",
        ),
        Row("says on average", percent(before.confidence), percent(last.confidence), ""),
        Row("is right", percent(before.accuracy), percent(last.accuracy), "the same by its nature"),
    )
