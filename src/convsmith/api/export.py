"""Write a run's network for others, and prove that what was written does what the network does."""

import copy
import os
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, get_args

from torch import nn

from convsmith import __version__
from convsmith.api.draft import FILES, Draft, draft_folder
from convsmith.api.evaluate import read_parts, threads
from convsmith.api.expected import expectations
from convsmith.api.load import Model, load
from convsmith.api.progress import ticking
from convsmith.api.run import Run, open_run, require_own_model
from convsmith.data import find_root
from convsmith.data.images import Source
from convsmith.data.store import root_of
from convsmith.errors import UserError, VerificationError
from convsmith.exporting.about import About
from convsmith.exporting.golden import Samples
from convsmith.exporting.graph import Input
from convsmith.exporting.libraries import require_installed
from convsmith.exporting.verify import Verified, tolerance_of, verify
from convsmith.models.pretrained import LIBRARIES
from convsmith.recipe.build import read_source

__all__ = ["Exported", "Format", "export"]

Format = Literal["onnx", "pt2", "torchscript", "openvino"]
PathLike = str | os.PathLike[str]

NEEDS = {
    "onnx": ("onnx", "onnxscript", "onnxruntime"),
    "openvino": ("openvino", "onnx", "onnxscript"),
}


@dataclass(frozen=True)
class Exported:
    """What was written, and how it did.

    ``files`` begins with the one to use. ``opset`` is that of the ONNX file, and ``maps`` says
    whether it gives class activation maps.
    """

    run: str
    format: str
    files: tuple[Path, ...]
    opset: int | None
    maps: bool
    verified: Verified
    notes: tuple[str, ...]


def export(
    run: PathLike,
    to: Format = "onnx",
    *,
    out: PathLike | None = None,
    licence: str | None = None,
    model: nn.Module | None = None,
    data: Source | None = None,
    runs: PathLike | None = None,
    data_root: PathLike | None = None,
) -> Exported:
    """Write a finished run's network in another format, and verify it in a fresh process.

    ``onnx`` writes a bundle, ``model.convsmith``, and the ONNX file alone. What was there before is
    replaced once the new files are verified, and not otherwise.

    Args:
        run: its folder, or its name in the runs folder.
        to: onnx, pt2, torchscript (legacy) or openvino.
        out: the folder for the files; by default ``exports`` in the run's.
        licence: under which the network may be used, for its metadata.
        model: the network, for a run that trained a module of your own.
        data: the data, for a run that trained on data of your own.
        runs: the folder of runs.
        data_root: where data sets lie.

    Raises:
        RunError: there is no such finished run.
        ResumeError: the images have changed since.
        UserError: there is no such format, a library is missing, or the network takes no images.
        VerificationError: what was written does not do what the network does; it is kept aside.
        WriteError: the files cannot be written.
    """
    if to not in get_args(Format):
        raise UserError(f"to must be one of {', '.join(get_args(Format))}, not {to!r}")
    require_installed(*NEEDS.get(to, ()))
    opened = open_run(run, runs)
    require_own_model(opened, model)
    loaded = load(run, runs=runs, module=copy.deepcopy(model))
    given = input_of(opened, loaded)
    about = describe(opened, loaded, licence)
    folder = opened.path / "exports" if out is None else Path(out)
    with threads(opened.environment["exact"]["threads"]), ticking("auto") as say:
        recipe = opened.recipe
        source = read_source(recipe, find_root(data_root), say) if data is None else data
        parts = read_parts(opened, recipe, "test", source, data_root)
        say("evaluating as the training does")
        root = None if source.store is None else root_of(source.store)
        expected, samples = expectations(loaded.module, parts, loaded.card.resize, root)
        with draft_folder(folder) as place:
            say(f"writing {FILES[to]}")
            tolerance = tolerance_of(expected.logits)
            draft = Draft(place, loaded.module, given, about, samples, tolerance)
            onnx = draft.write(to)
            say(f"verifying in a fresh process, with {len(expected.labels):,} test images")
            verified = verify(to, place / FILES[to], expected)
            if not verified.passed:
                raise failure(opened, place / FILES[to], verified)
            if onnx is not None:
                draft.finish(onnx, verified)
            files = draft.move_to(folder)
    return Exported(
        str(opened.path),
        to,
        tuple(sorted(files, key=lambda path: path.name != FILES[to])),
        None if onnx is None else onnx.opset,
        onnx is not None and onnx.maps is not None,
        verified,
        notes_on(to, samples, verified, len(parts.test)),
    )


def failure(opened: Run, path: Path, verified: Verified) -> VerificationError:
    """Return what to raise for a file that does not do what the network does."""
    problems = "".join(f"\n  {each}" for each in verified.problems)
    return VerificationError(
        f"{path.name} does not do what the network of {opened.path} does; it is kept in "
        f"{path.parent}:{problems}"
    )


def input_of(opened: Run, loaded: Model) -> Input:
    """Return what the network takes.

    Raises:
        UserError: no image file can become that.
    """
    card = loaded.card
    if card.scale != 255 or card.channels not in (1, 3):
        what = "points" if card.scale != 255 else f"images of {card.channels} channels"
        raise UserError(
            f"{opened.path}: its network takes {what}, which no image file holds, so that it "
            "cannot be exported"
        )
    return Input(card.channels, card.image_size, card.mean, card.std, card.scale)


def describe(opened: Run, loaded: Model, licence: str | None) -> About:
    """Return what the export says of the network."""
    card, results, recipe = loaded.card, opened.results, opened.recipe
    network = card.name
    if network in LIBRARIES:
        network = f"{network}/{card.options['architecture']}"
    return About(
        name=opened.path.name,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        convsmith=__version__,
        network=network,
        classes=card.classes,
        resize=card.resize,
        metrics={
            "test": asdict(results.test),
            "precision": recipe.train.precision,
            "parameters": results.parameters,
        },
        recipe=opened.folder.recipe.read_text(encoding="utf-8"),
        licence=licence,
    )


def notes_on(to: str, samples: Samples, verified: Verified, images: int) -> tuple[str, ...]:
    """Return what the person should know besides; ``images`` is how many the test part has."""
    notes = []
    if to == "torchscript":
        notes.append("TorchScript is legacy: PyTorch has given it up for pt2")
    if verified.images < images:
        notes.append(f"measured on {verified.images:,} of {images:,} test images, evenly spread")
    notes += [
        f"the golden samples would not show {name}: the network hardly reacts to it"
        for name, change in samples.shows.items()
        if change <= verified.tolerance
    ]
    return tuple(notes)
