"""What a word means that may be a run or a recipe."""

import os
from collections.abc import Mapping
from pathlib import Path

from convsmith.api.run import Run, open_run
from convsmith.errors import UserError, did_you_mean
from convsmith.recipe.presets import presets
from convsmith.runs.folder import find_runs_folder

__all__ = ["run_meant"]

PathLike = str | os.PathLike[str]


def run_meant(target: PathLike | Mapping[str, object], runs: PathLike | None) -> Run | None:
    """Return the run that is meant; None if it is a recipe. A preset's name is the preset.

    Raises:
        UserError: it is neither; names the nearest of all.
    """
    if isinstance(target, Mapping):
        return None
    known = [each.name for each in presets()]
    if isinstance(target, str) and target in known:
        return None
    given, folder = Path(target).expanduser(), find_runs_folder(runs)
    if any((place / "run.json").is_file() for place in (given, folder / given)):
        return open_run(target, runs)
    if given.suffix in (".yaml", ".yml") or given.exists():
        return None
    alone = len(given.parts) == 1
    beside = (folder if alone else given.parent).glob("*/run.json")
    names = [*(file.parent.name for file in beside), *(known if alone else ())]
    raise UserError(
        f"there is no run, preset or recipe file {os.fspath(target)!r}"
        f"{did_you_mean(given.name, names)}; presets: {', '.join(known)}; a recipe file's name "
        "ends in .yaml"
    )
