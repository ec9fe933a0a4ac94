"""What ``bench`` is given: runs and bundles, with the ONNX files that engines take."""

import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

import torch

from convsmith.api.compress import input_of
from convsmith.api.load import load, read_card
from convsmith.api.run import open_run
from convsmith.compression.fuse import fuse
from convsmith.errors import UserError
from convsmith.exporting.libraries import require_installed
from convsmith.exporting.onnx import to_onnx
from convsmith.reporting.compression import CompressionPage, read_compression
from convsmith.runs.folder import RunFolder, find_runs_folder
from convsmith_runtime.bundle import open_bundle
from convsmith_runtime.errors import BundleError

__all__ = ["Subject", "subject_of", "told_apart"]

PathLike = str | os.PathLike[str]
Say = Callable[[str], None]


@dataclass(frozen=True)
class Subject:
    """A network as it was given: what PyTorch can load, and ONNX files by the variant's name.

    ``source`` is the whole path of the run's folder or the bundle.
    """

    name: str
    source: Path
    image: tuple[int, int, int]
    run: Path | None
    files: dict[str, Path]
    drops: dict[str, tuple[float, tuple[str, ...]]]


def subject_of(
    target: PathLike, runs: PathLike | None, place: Path, engines: Sequence[str], say: Say
) -> Subject:
    """Return a run or a bundle with its ONNX files, one of which may have to be made."""
    place.mkdir()
    if is_bundle(target, runs):
        try:
            bundle = open_bundle(target)
        except BundleError as error:
            raise UserError(str(error)) from error
        file = place / "bundle.onnx"
        file.write_bytes(bundle.model)
        rule = bundle.preprocessing
        image = (rule.channels, *rule.image_size)
        return Subject(Path(target).stem, Path(target).resolve(), image, None, {"bundle": file}, {})
    folder = open_run(target, runs).folder
    card = read_card(folder)
    folder.require_whole(folder.weights)
    files = {path.stem: path for path in sorted(folder.compressed.glob("*.onnx"))}
    if card.name is None and not files:
        raise UserError(
            f"{folder.path} trained a network of your own: export it, and time its bundle"
        )
    if "fuse" not in files and card.name is not None and {"onnxruntime", "openvino"} & {*engines}:
        require_installed("onnx", "onnxscript")
        say(f"writing {folder.path.name} as ONNX")
        model = load(folder.path)
        example = torch.zeros(2, card.channels, *card.image_size)
        files["fuse"] = place / "fuse.onnx"
        to_onnx(fuse(model.module, example).model, input_of(card), files["fuse"])
    run = None if card.name is None else folder.path
    name, image = folder.path.name, (card.channels, *card.image_size)
    return Subject(name, folder.path.resolve(), image, run, files, drops_of(folder))


def is_bundle(target: PathLike, runs: PathLike | None) -> bool:
    """Return whether a bundle is meant rather than a run."""
    path = Path(target)
    if path.is_dir() or (find_runs_folder(runs) / path).is_dir():
        return False
    return path.is_file() or path.suffix == ".convsmith"


def drops_of(folder: RunFolder) -> dict[str, tuple[float, tuple[str, ...]]]:
    """Return what each variant loses, and what was said against it, if ``compress`` measured it."""
    page = read_compression(folder)
    if not isinstance(page, CompressionPage):
        return {}
    kept = page.stored.variants
    loses = {each.name: tuple(m for m in each.marks if m.startswith("loses")) for each in kept}
    return {each.name: (each.selection.drop, loses[each.name]) for each in kept}


def told_apart(subjects: Sequence[Subject]) -> list[Subject]:
    """Return each subject once; what shares a name is called by as much of its path as it takes."""
    once = list({each.source: each for each in subjects}.values())
    names = Counter(each.name for each in once)
    sources = [each.source.parts for each in once]
    return [
        each if names[each.name] == 1 else replace(each, name=shortest(each.source.parts, sources))
        for each in once
    ]


def shortest(source: tuple[str, ...], others: Sequence[tuple[str, ...]]) -> str:
    """Return the end of a path that no other of these paths has."""
    for parts in count(1):
        if sum(other[-parts:] == source[-parts:] for other in others) == 1:
            return "/".join(source[-parts:])
    raise AssertionError
