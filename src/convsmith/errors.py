"""Every error that convsmith raises on purpose, and the search for the name that was meant.

The tree::

    ConvsmithError            exit 1
    ├── UserError             exit 2: one clear line mends it
    │   ├── RecipeError       all mistakes of a recipe at once
    │   ├── ModelError        a network that cannot be built as asked
    │   ├── DataError         data missing, broken or of the wrong kind
    │   │   └── DataNotFound  a data set that is not there, and might be downloaded
    │   ├── DeviceError       a device or precision that this machine lacks
    │   └── RunError          a run folder that is missing, locked or of another format
    │       └── ResumeError   a run that cannot go on exactly where it stopped
    ├── DamagedError          a file of a run that is no longer as it was written
    │   └── CheckpointError   a checkpoint that is damaged
    ├── VerificationError     an exported file that does not do what the network does
    ├── WriteError            a full or unwritable disk; what was kept before is not lost
    ├── NonFiniteError        the loss or a gradient became NaN or infinite
    └── Interrupted           Ctrl-C (exit 130) or SIGTERM (exit 143), after a checkpoint

    Terminated                SIGTERM elsewhere, as Ctrl-C is a KeyboardInterrupt
"""

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

__all__ = [
    "CheckpointError",
    "ConvsmithError",
    "DamagedError",
    "DataError",
    "DataNotFound",
    "DeviceError",
    "Interrupted",
    "Mistake",
    "ModelError",
    "NonFiniteError",
    "RecipeError",
    "ResumeError",
    "RunError",
    "Terminated",
    "UserError",
    "VerificationError",
    "WriteError",
    "did_you_mean",
    "nearest",
]


def nearest(name: str, choices: Iterable[str]) -> str | None:
    """Return the choice most like ``name``, or None when nothing is near."""
    by_lower = {choice.lower(): choice for choice in choices}
    matches = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.6)
    return by_lower[matches[0]] if matches else None


def did_you_mean(name: str, choices: Iterable[str]) -> str:
    """Return `` (did you mean `x`?)`` for the nearest choice, or the empty string."""
    match = nearest(name, choices)
    return f" (did you mean `{match}`?)" if match else ""


class ConvsmithError(Exception):
    """Root of the tree; the command line prints its text and exits with ``exit_code``."""

    exit_code = 1


class UserError(ConvsmithError):
    """A mistake that the person at the keyboard can mend."""

    exit_code = 2


@dataclass(frozen=True)
class Mistake:
    """One thing wrong with a recipe: where it stands, what is wrong, how to mend it."""

    path: str  # "optimizer.learning_rate"
    message: str  # "must be greater than 0, got -1"
    where: str | None = None  # "my.yaml:12", "--set optimizer.learning_rate=-1"
    hint: str | None = None  # "did you mean `learning_rate`?", "allowed: sgd, adam, …"

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        hint = f" — {self.hint}" if self.hint else ""
        return f"{place}{self.path}: {self.message}{hint}"


class RecipeError(UserError):
    """A recipe with one or more mistakes; ``mistakes`` lists all of them."""

    def __init__(self, mistakes: Sequence[Mistake]) -> None:
        self.mistakes = tuple(mistakes)
        count = len(self.mistakes)
        head = "1 mistake in the recipe" if count == 1 else f"{count} mistakes in the recipe"
        super().__init__("\n".join([f"{head}:", *(f"  {mistake}" for mistake in self.mistakes)]))


class ModelError(UserError):
    """A network that cannot be built for this input: too small an image, an impossible width."""


class DataError(UserError):
    """A data set that is missing, broken, or not what the recipe needs."""


class DataNotFound(DataError):  # noqa: N818  # like FileNotFoundError without the word
    """A data set whose files are not where they were looked for."""


class DeviceError(UserError):
    """A device or a precision that this machine does not have."""


class RunError(UserError):
    """A run folder that is missing, in use by another process, or of an unknown format."""


class ResumeError(RunError):
    """A run that cannot be continued bit for bit on this machine as it is now."""


class DamagedError(ConvsmithError):
    """A file that convsmith wrote and that is missing, cut off or altered."""


class CheckpointError(DamagedError):
    """A checkpoint whose files are missing or do not match their checksums."""


class VerificationError(ConvsmithError):
    """An exported file whose outputs are not those of the network; it is kept, for a look."""


class WriteError(ConvsmithError):
    """A disk that is full or cannot be written; every checkpoint from before is still there."""


class NonFiniteError(ConvsmithError):
    """Training produced NaN or infinity; ``step`` is the first such step, counted from 0."""

    def __init__(self, step: int, detail: str = "") -> None:
        self.step = step
        super().__init__(f"the loss or a gradient became NaN or infinite at step {step}{detail}")


class Interrupted(ConvsmithError):  # noqa: N818  # like KeyboardInterrupt: not a fault
    """The run was stopped by a signal; its checkpoint is written and ``resume`` continues it."""

    def __init__(self, signal_number: int, resume: str) -> None:
        self.exit_code = 128 + signal_number
        super().__init__(f"stopped; to go on: {resume}")


class Terminated(BaseException):
    """SIGTERM while no step is trained; like KeyboardInterrupt, nothing that can be handled."""
