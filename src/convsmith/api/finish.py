"""The end of a training: choose the weights, measure them once on the test part, store them."""

import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from statistics import median

from safetensors.torch import save_file
from torch import Tensor

from convsmith.api.drive import Session, write_page
from convsmith.api.outcome import best_temperature, write_outcome
from convsmith.recipe.build import Parts, eval_batches, keeps_best
from convsmith.runs.folder import RunFolder, to_json, write_atomically
from convsmith.runs.journal import read_metrics
from convsmith.runs.model_card import ModelCard
from convsmith.runs.results import PerClass, Results, Score
from convsmith.training.checkpoint import flush, storable
from convsmith.training.evaluate import Evaluation, evaluate
from convsmith.training.memory import peak_bytes
from convsmith.training.snapshot import load_weights

__all__ = ["finish", "measure"]


def finish(session: Session, parts: Parts, card: ModelCard) -> Results:
    """Choose, measure and write the final weights; the test part is touched here and only here.

    The temperature is fitted on the validation part, before the test part is looked at.
    """
    job, state, run, recipe = session.job, session.state, session.run, session.recipe
    model, averaged = job.eval_model, job.ema is not None
    which = "last"
    if state.best is not None and keeps_best(recipe):
        which = "best"
        load_weights(model.state_dict(), state.best)
    elif state.best is not None:
        write_weights(run, run.best, state.best, {"weights": "best", "averaged": averaged})
    seconds = session.seconds()
    write_weights(run, run.weights, model.state_dict(), {"weights": which, "averaged": averaged})
    val = None if job.validation is None else measure(session, job.validation)[0]
    temperature, note = best_temperature(val)
    write_atomically(run.model, to_json(asdict(replace(card, temperature=temperature))))
    run.seal()
    test_batches = eval_batches(recipe, parts, "test", job.device)
    assert test_batches is not None
    test, rate = measure(session, test_batches)
    results = Results(
        run=str(run.path),
        test=to_score(test),
        val=None if val is None else to_score(val),
        epochs=state.epoch,
        steps=state.step,
        best_epoch=None if state.stopping is None else state.stopping.best_epoch,
        weights=which,
        averaged=averaged,
        trained_on_all=job.validation is None,
        seconds=round(seconds, 3),
        images_per_second=throughput(session, min(recipe.train.batch_size, len(parts.train))),
        eval_images_per_second=round(rate, 1),
        peak_memory_bytes=peak_bytes(job.device),
        parameters=sum(p.numel() for p in model.parameters()),
        model_bytes=run.weights.stat().st_size,
        per_class=PerClass.of(test.per_class),
    )
    write_outcome(run, parts, test, temperature, note, recipe.seed)
    write_atomically(run.results, to_json(asdict(results)))
    write_page(session.run, session.say)
    return results


def measure(session: Session, batches: Iterable[tuple[Tensor, Tensor]]) -> tuple[Evaluation, float]:
    """Evaluate the final weights; return the figures and the images per second."""
    job = session.job
    started = time.perf_counter()
    evaluation = evaluate(job.eval_model, batches, job.loss, job.precision, logits=True)
    return evaluation, evaluation.count / (time.perf_counter() - started)


def write_weights(
    run: RunFolder, path: Path, weights: Mapping[str, Tensor], about: Mapping[str, object]
) -> None:
    """Write weights whole or not at all, with what they are."""
    temporary = path.with_suffix(".writing")
    # One key only: several are written in no fixed order, and equal runs give equal files.
    save_file(storable(weights), temporary, {"convsmith": json.dumps(about)})
    temporary.chmod(run.recipe.stat().st_mode & 0o777)  # safetensors lets only the owner read
    flush(temporary)
    temporary.replace(path)


def throughput(session: Session, batch_size: int) -> float | None:
    """Return the median images a second of the steps after the first ten.

    After a resume close to the end it is the median of what was logged before; None if nothing was.
    """
    seconds = session.clock.seconds()[10:]
    if seconds:
        return round(batch_size / median(seconds), 1)
    logged = [
        each["images_per_second"]
        for each in read_metrics(session.run.metrics)
        if each["event"] == "step"
    ]
    return median(logged) if logged else None


def to_score(evaluation: Evaluation) -> Score:
    """Return the part of an evaluation that results hold."""
    return Score(evaluation.top1, evaluation.top5, evaluation.loss, evaluation.count)
