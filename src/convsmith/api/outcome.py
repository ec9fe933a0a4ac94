"""What a finished training knows of its test part: confusion, scores, calibration, mistakes."""

import json
from dataclasses import asdict

from torch import Tensor

from convsmith.api.examples import write_examples, write_mistakes
from convsmith.insight.calibration import calibration, fit_temperature
from convsmith.insight.class_scores import CONFIDENCE, RESAMPLES, class_scores
from convsmith.insight.confusion import confusion_matrix
from convsmith.insight.likeness import order_by_likeness
from convsmith.insight.top_k import top_k
from convsmith.randomness import derive
from convsmith.recipe.build import Parts
from convsmith.runs.folder import RunFolder, to_json, write_atomically
from convsmith.training.evaluate import Evaluation

__all__ = ["best_temperature", "write_outcome"]

TOP = 10
MOST_ORDERED = 200  # classes; the page draws no larger matrix


def best_temperature(validation: Evaluation | None) -> tuple[float, str]:
    """Return what logits are to be divided by, and why it is 1 where none could be fitted."""
    if validation is None:
        return 1.0, "no validation part was kept to fit a temperature on"
    assert validation.logits is not None
    if not validation.logits.isfinite().all():
        return 1.0, "some outputs of the validation part are not finite"
    found = fit_temperature(validation.logits, validation.labels)
    if found is None:
        right = validation.top1 == 1
        why = "every image of the validation part is right" if right else "none is best"
        return 1.0, f"{why}, so no temperature could be fitted on it"
    return found, ""


def write_outcome(
    run: RunFolder,
    parts: Parts,
    test: Evaluation,
    temperature: float,
    note: str,
    seed: int,
) -> None:
    """Write all that the page says of the test part, with pictures.

    Args:
        run: where it goes.
        parts: the data.
        test: the evaluation of the test part, with logits.
        temperature: what the logits are divided by.
        note: why the temperature is 1, if it was not fitted.
        seed: of the run.
    """
    matrix = confusion_matrix(test.labels, test.guesses, len(parts.classes))
    write_confusion(run, parts.classes, matrix)
    write_scores(run, parts.classes, matrix, test, derive(seed, "bootstrap"))
    fitted_on = 0 if note or parts.validation is None else len(parts.validation)
    write_calibration(run, test, temperature, note, fitted_on, derive(seed, "calibration"))
    confidences = calibrated(test, temperature)
    write_mistakes(run, parts, test, confidences)
    write_examples(run, parts, test, confidences, matrix)


def calibrated(test: Evaluation, temperature: float) -> Tensor:
    """Return ``(N,)`` probabilities of the guesses, as predicting gives them."""
    assert test.logits is not None
    return (test.logits / temperature).softmax(1).amax(1)


def write_confusion(run: RunFolder, classes: tuple[str, ...], matrix: Tensor) -> None:
    """Write ``confusion.json``: the counts, and an order in which like classes are neighbours."""
    alike = order_by_likeness(matrix) if len(classes) <= MOST_ORDERED else ()
    content = {"part": "test", "classes": classes, "matrix": matrix.tolist(), "alike": alike}
    write_atomically(run.confusion, json.dumps(content) + "\n")


def write_scores(
    run: RunFolder, classes: tuple[str, ...], matrix: Tensor, test: Evaluation, seed: int
) -> None:
    """Write ``classes.json``: precision, recall and F1 by class and on average, and top-k."""
    scores = asdict(class_scores(matrix, seed))
    by_class = zip(
        classes, *(scores.pop(key) for key in ("precision", "recall", "f1")), strict=True
    )
    content = {
        "part": "test",
        "images": test.count,
        "confidence": CONFIDENCE,
        "resamples": RESAMPLES,
        "top_k": top_k(test.ranks, min(TOP, len(classes))),
        **scores,
        "classes": [
            {"name": name, "precision": precision, "recall": recall, "f1": f1}
            for name, precision, recall, f1 in by_class
        ],
    }
    write_atomically(run.classes, to_json(content))


def write_calibration(
    run: RunFolder, test: Evaluation, temperature: float, note: str, fitted_on: int, seed: int
) -> None:
    """Write ``calibration.json``; without finite outputs there is nothing to say."""
    assert test.logits is not None
    if not test.logits.isfinite().all():
        run.calibration.unlink(missing_ok=True)
        return
    before = calibration(test.logits, test.labels, 1.0, seed)
    after = calibration(test.logits, test.labels, temperature, seed) if fitted_on else None
    content = {
        "part": "test",
        "images": test.count,
        "temperature": temperature,
        "fitted_on": fitted_on,
        "note": note,
        "before": asdict(before),
        "after": None if after is None else asdict(after),
    }
    write_atomically(run.calibration, to_json(content))
