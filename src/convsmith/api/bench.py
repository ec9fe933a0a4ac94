"""Time networks by engine, batch, threads and precision; say which configuration to use."""

import csv
import io
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from pathlib import Path

import torch

from convsmith.api.bench_subjects import Subject, subject_of, told_apart
from convsmith.api.machine import usable_cores
from convsmith.benchmark.engines import ENGINES, has_compiler
from convsmith.benchmark.rounds import Timed, Worker, take_turns
from convsmith.errors import UserError, WriteError, did_you_mean
from convsmith.processor import cpu_name, int8_support
from convsmith.reporting.charts import LineChart, Series
from convsmith.reporting.picture import write_picture
from convsmith.runs.folder import to_json, write_atomically
from convsmith.training.device import bf16_supported

__all__ = ["BATCHES", "Bench", "Configuration", "bench"]

PathLike = str | os.PathLike[str]
Say = Callable[[str], None]

BATCHES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
PRECISION = {
    **dict.fromkeys(("fuse", "prune"), "fp32"),
    **dict.fromkeys(("static", "full", "dynamic", "qat", "prune-static"), "int8"),
    "bf16": "bf16 weights",
    "weights": "int8 weights",
}
MOST_LINES = 12  # in the picture; the table has all
MOST = {"batches": 65_536, "threads": 1024, "rounds": 10_000}  # more is a slip of the finger


@dataclass(frozen=True)
class Configuration:
    """One way to run a network, as it was timed.

    ``memory`` are the bytes that the process grew by at most, libraries not counted. ``drop`` is
    what ``compress`` found that it loses of the top-1, a fraction, and ``marks`` what speaks
    against it. ``failed`` says why there are no figures.
    """

    name: str
    network: str
    engine: str
    variant: str
    precision: str
    threads: int
    memory: int | None
    drop: float | None
    marks: tuple[str, ...]
    failed: str | None
    timed: tuple[Timed, ...]

    def at(self, batch: int) -> Timed | None:
        """Return its figures at a batch size."""
        return next((each for each in self.timed if each.batch == batch), None)

    @property
    def fastest(self) -> Timed | None:
        """Return the figures of the batch size with the most images a second."""
        return max(self.timed, key=lambda each: each.images_per_second, default=None)

    @property
    def in_threads(self) -> str:
        """Return the number of threads in words."""
        return f"{self.threads} thread{'s' if self.threads > 1 else ''}"


@dataclass(frozen=True)
class Bench:
    """All configurations on one machine; ``files`` are the table and the picture.

    ``quickest`` answers one image first, ``busiest`` has the most images a second, each among those
    that nothing speaks against.
    """

    cpu: str
    int8: tuple[str, ...]
    rounds: int
    seconds: float
    batches: tuple[int, ...]
    configurations: tuple[Configuration, ...]
    quickest: str | None
    busiest: str | None
    notes: tuple[str, ...]
    files: tuple[Path, ...]

    def called(self, each: Configuration) -> str:
        """Return a configuration's name, less what all of them share."""
        networks = {one.network for one in self.configurations}
        counts = {one.threads for one in self.configurations}
        network = f"{each.network}: " if len(networks) > 1 else ""
        threads = f", {each.in_threads}" if len(counts) > 1 else ""
        return f"{network}{each.engine} {each.variant}".rstrip() + threads


def bench(
    targets: PathLike | Sequence[PathLike],
    *,
    engines: Sequence[str] = (),
    batches: Sequence[int] = BATCHES,
    threads: Sequence[int] = (),
    rounds: int = 3,
    seconds: float = 0.2,
    out: PathLike | None = None,
    runs: PathLike | None = None,
    say: Say = lambda text: None,
) -> Bench:
    """Time networks from uint8 images to logits on this machine's processor.

    Every configuration has a process of its own, and all take turns, so that a busy machine slows
    them alike. The images are random; accuracy is what ``compress`` and ``export`` measure.

    Args:
        targets: finished runs, with all variants that ``compress`` made of them, and bundles.
        engines: of ``eager``, ``bf16``, ``compiled``, ``onnxruntime`` and ``openvino``, by default
            all; one that is not installed is left out with a note.
        batches: images at a time.
        threads: how many an engine uses; by default as many as there are cores.
        rounds: how often all take their turn.
        seconds: of each turn; at least three calls are made.
        out: the folder for ``bench.json``, ``bench.csv`` and ``bench.svg``; by default ``bench`` in
            the first run's folder, else in the working folder.
        runs: the folder of runs.
        say: told what is being done.

    Raises:
        RunError: there is no such finished run.
        UserError: there is no such engine, a bundle cannot be opened, or nothing could be run.
        WriteError: the files cannot be written.
    """
    named = [targets] if isinstance(targets, str | os.PathLike) else targets
    given = list(dict.fromkeys(map(str, named)))
    counts = tuple(dict.fromkeys(threads)) or (usable_cores(),)
    sizes = tuple(sorted(set(batches))) or BATCHES
    numbers = {"batches": sizes, "threads": counts, "rounds": (rounds,)}
    require_sensible(given, engines, numbers, seconds)
    usable, notes = installed(engines or tuple(ENGINES))
    with tempfile.TemporaryDirectory() as place:
        subjects = opened(given, runs, Path(place), usable, say)
        planned = [
            each
            for subject in subjects
            for count in counts
            for each in configurations(subject, usable, count)
        ]
        notes += left_out(subjects, planned, usable)
        if not planned:
            raise UserError(f"nothing can be run; {'; '.join(notes)}")
        folder = Path(out) if out is not None else folder_of(subjects[0])
        require_writable(folder)
        workers = {each.name: worker(each, subjects, sizes) for each in planned}
        take_turns(workers, sizes, rounds=rounds, seconds=seconds, say=say)
    found = [measured(each, workers[each.name]) for each in planned]
    require_figures(found)
    if not any(each.energy for each in workers.values()):
        notes.append("this machine does not tell how much energy it uses")
    told = Bench(
        cpu=cpu_name(),
        int8=int8_support(),
        rounds=rounds,
        seconds=seconds,
        batches=sizes,
        configurations=tuple(found),
        quickest=best(found, lambda each: rate(each.at(sizes[0]))),
        busiest=best(found, lambda each: rate(each.fastest)),
        notes=tuple(notes),
        files=tuple(folder / f"bench.{ending}" for ending in ("csv", "svg", "json")),
    )
    write(told)
    return told


def require_sensible(
    given: Sequence[PathLike],
    engines: Sequence[str],
    numbers: Mapping[str, Sequence[int]],
    seconds: float,
) -> None:
    """Raise UserError for what cannot be meant."""
    if not given:
        raise UserError("there is nothing to time: name a run or a bundle")
    for engine in engines:
        if engine not in ENGINES:
            hint = did_you_mean(engine, ENGINES)
            raise UserError(f"no engine is called {engine!r}{hint}: {', '.join(ENGINES)}")
    for name, values in numbers.items():
        if min(values) < 1:
            raise UserError(f"{name} must be at least 1, got {min(values)}")
        if max(values) > MOST[name]:
            raise UserError(f"{name} must be at most {MOST[name]:,}, got {max(values):,}")
    if not 0 < seconds < 1e6:
        raise UserError(f"seconds must be more than 0 and below a million, got {seconds}")


def installed(engines: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the engines that this machine has, and why others are left out."""
    lacking = {
        "bf16": None if bf16_supported(torch.device("cpu")) else "this processor has no bf16",
        "compiled": None if has_compiler() else "torch.compile needs a C++ compiler",
        "onnxruntime": missing("onnxruntime", "deploy"),
        "openvino": missing("openvino", "openvino"),
    }
    usable = [each for each in dict.fromkeys(engines) if not lacking.get(each)]
    return usable, [f"{each} is left out: {lacking[each]}" for each in engines if lacking.get(each)]


def missing(library: str, extra: str) -> str | None:
    """Return how to install a library that is not there."""
    return None if find_spec(library) else f'pip install "convsmith[{extra}]"'


def configurations(
    subject: Subject, engines: Sequence[str], threads: int
) -> Iterator[Configuration]:
    """Yield the ways to run a network, not yet timed."""
    for engine in engines:
        own = engine not in ("onnxruntime", "openvino")
        if own and subject.run is None:
            continue
        for variant in [engine] if own else subject.files:
            what = engine if own else f"{engine} {variant}"
            name = f"{subject.name}: {what}, {threads} thread{'s' if threads > 1 else ''}"
            precision = "bf16" if variant == "bf16" and own else PRECISION.get(variant, "fp32")
            drop, marks = subject.drops.get(variant, (None, ()))
            yield Configuration(
                name=name,
                network=subject.name,
                engine=engine,
                variant="" if own else variant,
                precision="" if variant == "bundle" else precision,
                threads=threads,
                memory=None,
                drop=None if own else drop,
                marks=() if own else marks,
                failed=None,
                timed=(),
            )


def opened(
    given: Sequence[str], runs: PathLike | None, place: Path, engines: Sequence[str], say: Say
) -> list[Subject]:
    """Return what is to be timed; ONNX files that have to be made go below ``place``."""
    return told_apart(
        [
            subject_of(target, runs, place / str(number), engines, say)
            for number, target in enumerate(given)
        ]
    )


def left_out(
    subjects: Sequence[Subject], planned: Sequence[Configuration], engines: Sequence[str]
) -> list[str]:
    """Return what is said of subjects that none of the engines runs."""
    able = {each.network for each in planned}
    words = " or ".join(engines)
    return [
        f"{each.name} is left out: a bundle is an ONNX file, which {words} does not run"
        for each in subjects
        if each.name not in able and engines
    ]


def worker(each: Configuration, subjects: Sequence[Subject], batches: Sequence[int]) -> Worker:
    """Return the process that will time a configuration."""
    subject = next(one for one in subjects if one.name == each.network)
    spec: dict[str, object] = {
        "engine": each.engine,
        "threads": each.threads,
        "image": subject.image,
        "batches": batches,
    }
    if each.variant:
        spec |= {"file": str(subject.files[each.variant].absolute()), "libraries": [each.engine]}
    else:
        spec |= {"run": str(subject.run), "libraries": ["convsmith.api.compress"]}
    return Worker([sys.executable, "-m", "convsmith.api.bench_worker"], spec)


def measured(each: Configuration, told: Worker) -> Configuration:
    """Return a configuration with what its process measured."""
    return replace(each, memory=told.memory, failed=told.failed, timed=told.result())


def require_figures(found: Sequence[Configuration]) -> None:
    """Raise UserError, saying why, if nothing at all could be run."""
    if not any(each.timed for each in found):
        raise UserError(f"nothing could be run{''.join(f'; {e.name}: {e.failed}' for e in found)}")


def rate(timed: Timed | None) -> float:
    """Return images a second, 0 where there is no figure."""
    return 0.0 if timed is None else timed.images_per_second


def best(found: Sequence[Configuration], value: Callable[[Configuration], float]) -> str | None:
    """Return the name of the best configuration that nothing speaks against."""
    able = [each for each in found if each.timed and not each.marks]
    chosen = max(able, key=value, default=None)
    return None if chosen is None else chosen.name


def folder_of(subject: Subject) -> Path:
    """Return where the files go by default."""
    return Path("bench") if subject.run is None else subject.run / "bench"


def require_writable(folder: Path) -> None:
    """Raise WriteError unless files can be made in a folder: better now than once all is timed."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise WriteError(f"cannot write {folder}: {error.strerror or error}") from error


def write(told: Bench) -> None:
    """Write the table, the picture and all figures."""
    table, picture, figures = told.files
    try:
        table.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(table, to_csv(told))
        write_atomically(figures, to_json(asdict(told) | {"files": [str(p) for p in told.files]}))
    except OSError as error:
        raise WriteError(f"cannot write {table.parent}: {error.strerror or error}") from error
    shown = [each for each in told.configurations if each.timed]
    title = f"Images a second by batch size: {told.cpu}"
    if len(shown) > MOST_LINES:
        title += f", the {MOST_LINES} fastest of {len(shown)}"
        shown = sorted(shown, key=lambda each: rate(each.fastest), reverse=True)[:MOST_LINES]
    lines = tuple(
        Series(told.called(each), tuple((t.batch, t.images_per_second) for t in each.timed), color)
        for color, each in enumerate(shown)
    )
    write_picture(picture, LineChart("bench", title, "images in a batch", lines, log_x=True))


def to_csv(told: Bench) -> str:
    """Return a line for each configuration and batch size; seconds, bytes and joules."""
    stream = io.StringIO()
    head = ("network", "engine", "variant", "precision", "threads", "batch", "calls", "p50", "p95")
    lines = csv.writer(stream, lineterminator="\n")
    lines.writerow((*head, "p99", "images_per_second", "joules_per_image", "memory"))
    for each in told.configurations:
        for timed in each.timed:
            lines.writerow(
                (
                    *(each.network, each.engine, each.variant, each.precision, each.threads),
                    *(timed.batch, timed.calls, timed.p50, timed.p95, timed.p99),
                    *(timed.images_per_second, timed.joules_per_image, each.memory),
                )
            )
    return stream.getvalue()
