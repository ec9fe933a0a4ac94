"""The folder of a run: where its files are, how it is made, found and locked.

Layout::

    runs/mnist-1/
    ├── run.json               format version, who made it
    ├── recipe.yaml            the resolved recipe
    ├── environment.json       versions, processor, threads, data digest
    ├── metrics.jsonl          one JSON object an event
    ├── log.txt                the same for people
    ├── checkpoints/           step-*/, see convsmith.training.checkpoint
    ├── model.json             what a network needs to be used: sizes, classes, normalisation
    ├── weights.safetensors    the weights that results.json was measured on
    ├── best.safetensors       the weights of the best epoch, if weights.safetensors are the last
    ├── SHA256SUMS             checksums of these, as ``sha256sum -c`` reads them
    ├── results.json           what ``train --json`` prints
    ├── confusion.json         how often each class was taken for each, in the test part
    ├── classes.json           precision, recall and F1 by class, with intervals
    ├── calibration.json       how true the probabilities are, before and after the temperature
    ├── mistakes.json          the surest mistakes in the test part
    ├── plan.json             what `convsmith plan` foresaw, if it was asked
    ├── examples.json          mistakes by class and by pair of classes
    ├── robustness.json        accuracy on images made worse, once it was asked for
    ├── label_errors.json      training labels that look wrong, once they were asked for
    ├── findings.json          what ``diagnose`` found
    ├── compress.json         what `convsmith compress` measured, and the files that it made,
    ├── compressed/           if it was asked
    ├── figures/               samples, what augmentation makes of them, the mistakes
    ├── explain/               maps of what the network went by; see convsmith.api.explain
    └── report.html            all of it as a page
"""

import json
import math
import os
import re
import secrets
import shlex
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from convsmith.checksum import sha256
from convsmith.errors import ConvsmithError, DamagedError, RunError, did_you_mean

__all__ = [
    "FORMAT",
    "RunFolder",
    "find_runs_folder",
    "finite",
    "first_fault",
    "to_json",
    "write_atomically",
]

T = TypeVar("T")

FORMAT = 1
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def find_runs_folder(option: str | os.PathLike[str] | None = None) -> Path:
    """Return where runs are kept: the option, else ``CONVSMITH_RUNS``, else ``runs``."""
    return Path(option or os.environ.get("CONVSMITH_RUNS") or "runs").expanduser()


class RunFolder:
    """The files of one run. Final; make one with :meth:`create` or :meth:`open`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.recipe = path / "recipe.yaml"
        self.environment = path / "environment.json"
        self.metrics = path / "metrics.jsonl"
        self.log = path / "log.txt"
        self.checkpoints = path / "checkpoints"
        self.model = path / "model.json"
        self.weights = path / "weights.safetensors"
        self.best = path / "best.safetensors"
        self.sums = path / "SHA256SUMS"
        self.results = path / "results.json"
        self.confusion = path / "confusion.json"
        self.classes = path / "classes.json"
        self.calibration = path / "calibration.json"
        self.mistakes = path / "mistakes.json"
        self.examples = path / "examples.json"
        self.robustness = path / "robustness.json"
        self.label_errors = path / "label_errors.json"
        self.findings = path / "findings.json"
        self.figures = path / "figures"
        self.plan = path / "plan.json"
        self.compression = path / "compress.json"
        self.compressed = path / "compressed"
        self.explanations = path / "explain"
        self.report = path / "report.html"

    @classmethod
    def create(
        cls,
        runs: Path,
        base: str,
        recipe: str,
        environment: Mapping[str, Any],
        name: str | None = None,
        begin: Callable[["RunFolder"], object] = lambda draft: None,
    ) -> "RunFolder":
        """Make a run folder called ``name``, or ``base`` with the next free number.

        It appears whole or not at all: with its recipe, its environment and what ``begin`` puts
        into it.

        Raises:
            RunError: the name is taken, is not a plain folder name, or cannot be written.
        """
        if name is not None and not NAME.fullmatch(name):
            raise RunError(
                f"a run's name is at most 100 letters, digits, `.`, `_` and `-`, not {name!r}"
            )
        if name is not None and (runs / name).exists():
            raise RunError(
                f"the run {runs / name} exists: resume it with --resume, or choose another --name"
            )
        draft = runs / f".new-{os.getpid()}-{secrets.token_hex(4)}"
        try:
            if runs.is_file():
                raise RunError(f"cannot make a run in {runs}: it is a file, not a folder")
            runs.mkdir(parents=True, exist_ok=True)
            remove_old_drafts(runs)
            draft.mkdir()
            made = {"format": FORMAT, "made_by": "convsmith"}
            write_atomically(draft / "run.json", to_json(made))
            write_atomically(draft / "recipe.yaml", recipe)
            write_atomically(draft / "environment.json", to_json(environment))
            begin(cls(draft))
            return cls(claim(draft, runs, base, name))
        except BaseException as error:
            shutil.rmtree(draft, ignore_errors=True)
            if not isinstance(error, OSError):
                raise
            raise RunError(f"cannot make a run in {runs}: {error.strerror or error}") from error

    @classmethod
    def open(cls, path: str | os.PathLike[str], runs: Path | None = None) -> "RunFolder":
        """Open the run at ``path``, or of that name below ``runs``.

        Raises:
            RunError: there is no such run, or its format is not this version's.
        """
        given = Path(path).expanduser()
        candidates = [given] if runs is None else [given, runs / given]
        found = next((folder for folder in candidates if (folder / "run.json").is_file()), None)
        if found is None:
            if given.is_file():
                raise RunError(f"{given} is a file; a run is a folder with run.json in it")
            parent = (runs or given.parent) if len(given.parts) == 1 else given.parent
            names = [file.parent.name for file in parent.glob("*/run.json")]
            hint = did_you_mean(given.name, names)
            raise RunError(f"there is no run {os.fspath(path)!r}{hint}")
        try:
            version = json.loads((found / "run.json").read_text())["format"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RunError(f"{found / 'run.json'} cannot be read: {error}") from error
        if version != FORMAT:
            raise RunError(f"{found} has format {version}; this convsmith reads format {FORMAT}")
        return cls(found)

    @contextmanager
    def locked(self, patience: float = 0.0) -> Iterator[None]:
        """Hold the run for this process; the system lets go of it when the process ends.

        Args:
            patience: seconds to wait for another process, which may only be looking.

        Raises:
            RunError: another process holds it.
        """
        with (self.path / "run.lock").open("a+") as file:
            until = time.monotonic() + patience
            while not try_lock(file):
                if time.monotonic() >= until:
                    raise RunError(f"{self.path} is in use by another process")
                time.sleep(0.02)
            try:
                yield
            finally:
                unlock(file)

    @property
    def finished(self) -> bool:
        """Return whether the training came to its end; its results are written last."""
        return self.results.exists()

    def sealed(self) -> tuple[Path, ...]:
        """Return the files that a trained network is made of, whose checksums are kept."""
        return (self.model, self.weights, *([self.best] if self.best.exists() else []))

    def seal(self) -> None:
        """Write the checksums of the files that a trained network is made of."""
        lines = [f"{sha256(path)}  {path.name}\n" for path in self.sealed()]
        write_atomically(self.sums, "".join(lines))

    def require_whole(self, path: Path) -> None:
        """Check that a file is the one that was sealed.

        Raises:
            RunError: it is not there, because the run has not finished.
            DamagedError: it is missing or altered.
        """
        for each in (self.sums, path):
            if not each.is_file():
                raise self.unreadable(each, FileNotFoundError())
        try:
            known = self.sums.read_text(errors="replace").splitlines()
            if f"{sha256(path)}  {path.name}" not in known:
                raise self.damaged(path, "does not match its checksum")
        except OSError as error:
            raise self.unreadable(path, error) from error

    def read_as(self, path: Path, kind: type[T]) -> T:
        """Read one of the run's JSON files into a dataclass or mapping of that type.

        Raises:
            RunError: it is not there, because the run has not finished.
            DamagedError: it is not there though the run has finished, or not as it was written.
        """
        try:
            return TypeAdapter(kind).validate_json(path.read_bytes())
        except ValidationError as error:
            wrong = first_fault(error)
            raise self.damaged(path, f"is not as convsmith wrote it: {wrong}") from error
        except OSError as error:
            raise self.unreadable(path, error) from error

    def unreadable(self, path: Path, error: OSError) -> ConvsmithError:
        """Return what to raise when the system does not give a file of the run."""
        if not isinstance(error, FileNotFoundError):
            return self.damaged(path, f"cannot be read: {error.strerror or error}")
        if self.finished or path in (self.recipe, self.environment):
            return self.damaged(path, "is missing")
        resume = f"convsmith train --resume {shlex.quote(str(self.path))}"
        return RunError(f"{self.path} has not finished; to go on: {resume}")

    def damaged(self, path: Path, how: str) -> DamagedError:
        """Return what to raise for a damaged file, with the way to mend it if there is one."""
        if path in (self.recipe, self.environment):
            return DamagedError(f"{path} {how}")
        resume = f"convsmith train --resume {shlex.quote(str(self.path))}"
        return DamagedError(f"{path} {how}; to make it again from the checkpoint: {resume}")


def first_fault(error: ValidationError) -> str:
    """Return the first thing that is wrong with a file, and where in it."""
    first = error.errors()[0]
    place = ".".join(map(str, first["loc"]))
    return f"{place}: {first['msg']}" if place else first["msg"]


def remove_old_drafts(runs: Path) -> None:
    """Remove what was left by processes that were killed while they made a run, a day ago."""
    for draft in runs.glob(".new-*"):
        with suppress(FileNotFoundError):  # it has just become a run
            if time.time() - draft.stat().st_mtime > 24 * 3600:
                shutil.rmtree(draft, ignore_errors=True)


def claim(draft: Path, runs: Path, base: str, name: str | None) -> Path:
    """Rename the draft to its final name; renaming onto a run that exists fails by itself."""
    if name is not None:
        return draft.rename(runs / name)
    number = 1
    while True:
        target = runs / f"{base}-{number}"
        if not target.exists():
            try:
                return draft.rename(target)
            except OSError:
                if not target.exists():
                    raise
        number += 1


def to_json(value: Mapping[str, Any]) -> str:
    """Return readable JSON; NaN and infinity become null."""
    return json.dumps(finite(value), indent=2, allow_nan=False) + "\n"


def finite(value: Any) -> Any:
    """Return ``value`` with every non-finite number replaced by None."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return value


def write_atomically(path: Path, text: str) -> None:
    """Write a text file whole or not at all, flushed to the disk; an OSError names it."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.writing")  # others may write
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        error.filename = str(path)  # a full disk names no file, others the temporary one
        raise


def try_lock(file: IO[str]) -> bool:
    """Lock an open file without waiting; return whether it worked."""
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def unlock(file: IO[str]) -> None:
    """Let go of a file locked by :func:`try_lock`."""
    if sys.platform == "win32":
        import msvcrt

        msvcrt.locking(file.fileno(), msvcrt.LK_UNLCK, 1)
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_UN)
