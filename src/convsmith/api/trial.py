"""A recipe made ready to be tried: jobs that are no runs, and leave nothing behind."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from convsmith.api.budget import make_fit, within_budget
from convsmith.api.own import Own
from convsmith.api.train import Places, Ready, make_ready, say_notes
from convsmith.api.transfer import load_transfer
from convsmith.data.images import Source
from convsmith.recipe.build import build_job, build_model, build_state
from convsmith.recipe.load import load_recipe
from convsmith.training.job import Job, State

__all__ = ["Given", "Trial", "trial"]


@dataclass(frozen=True)
class Given:
    """What says which recipe is meant; see :func:`convsmith.train`."""

    recipe: str | Path | Mapping[str, object]
    model: str | nn.Module | None = None
    data: str | Source | None = None
    flags: Mapping[str, object] | None = None
    sets: Sequence[str] = ()
    keywords: Mapping[str, object] | None = None

    @property
    def name(self) -> str:
        """Return what the recipe is called."""
        return Path(self.recipe).stem if isinstance(self.recipe, str | Path) else "recipe"


class Trial:
    """A recipe that is ready, and jobs made of it. Final."""

    def __init__(self, ready: Ready, own: Own, places: Places, budget: int | None) -> None:
        self.ready = ready
        self._own = own
        self._places = places
        self._budget = budget

    @property
    def own_model(self) -> bool:
        """Return whether the network is the user's own, which no recipe describes."""
        return self._own.model is not None

    def job(self, seed: int) -> tuple[Job, State]:
        """Return a job with a network of its own, as a run of that seed would have it.

        A network of the user's own is copied. There is no moving average: nothing is evaluated.
        """
        ready = self.ready
        recipe = ready.recipe.model_copy(update={"seed": seed})
        if self._own.model is not None:
            model = copy.deepcopy(self._own.model)
        else:
            images = ready.parts.train
            classes = len(ready.parts.classes)
            model = build_model(recipe, classes, images.channels, images.image_size)
            load_transfer(recipe, model, self._places.runs)
        job = replace(build_job(recipe, ready.parts, ready.source, ready.device, model), ema=None)
        state = build_state(recipe, job)
        make_fit(recipe, ready.parts, job, state, self._budget, self._places.shown.say)
        return job, state


@contextmanager
def trial(given: Given, places: Places) -> Iterator[Trial]:
    """Make a recipe ready, within its budget; random numbers go on as if nothing had been.

    Raises:
        RecipeError: the recipe has mistakes; all are listed.
        UserError: the data, the device or the network is not what was asked for.
    """
    keywords = dict(given.keywords or {})
    for keyword, named in (("model", given.model), ("source", given.data)):
        if isinstance(named, str):
            keywords[keyword] = named
    own = Own.among(given.model, given.data)
    flags = given.flags or {}
    loaded = load_recipe(given.recipe, flags=flags, sets=given.sets, keywords=keywords)
    say_notes(places.shown, loaded.notes)
    say, gpus = places.shown.say, range(torch.cuda.device_count())
    with torch.random.fork_rng(gpus), within_budget(loaded.recipe, say) as size:
        yield Trial(make_ready(loaded.recipe, own, places), own, places, size)
