"""Replay the golden samples of a bundle, with the code that will predict from it."""

import os
from dataclasses import dataclass

from convsmith.errors import UserError
from convsmith.exporting.libraries import require_installed
from convsmith_runtime.bundle import open_bundle
from convsmith_runtime.errors import BundleError
from convsmith_runtime.manifest import Member
from convsmith_runtime.predict import Predictor
from convsmith_runtime.replay import Replayed, replay

__all__ = ["Checked", "check"]


@dataclass(frozen=True)
class Checked:
    """A bundle, and how its golden samples came out; ``members`` are the files it lists."""

    bundle: str
    name: str
    network: str | None
    classes: int
    licence: str | None
    members: tuple[Member, ...]
    replayed: Replayed


def check(bundle: str | os.PathLike[str]) -> Checked:
    """Open a bundle, which may be a stranger's, and compare its golden samples with what it states.

    Raises:
        UserError: it is no bundle, damaged, or one that must not be opened.
    """
    require_installed("onnxruntime")
    try:
        opened = open_bundle(bundle)
        replayed = replay(Predictor(opened))
    except BundleError as error:
        raise UserError(str(error)) from error
    return Checked(
        os.fspath(bundle),
        opened.name,
        opened.network,
        len(opened.classes),
        opened.licence,
        opened.members,
        replayed,
    )
