"""Write a run's network for others, and prove that what was written does what the network does."""

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, get_args

from torch import nn

from convsmith import __version__
from convsmith.api.evaluate import read_parts, threads
from convsmith.api.expected import expectations
from convsmith.api.load import Model, load
from convsmith.api.progress import ticking
from convsmith.api.run import Run, open_run, require_own_model
from convsmith.data import find_root
from convsmith.data.images import Source
from convsmith.data.store import root_of
from convsmith.errors import DamagedError, UserError, VerificationError
from convsmith.exporting.about import About
from convsmith.exporting.bundle import write_bundle
from convsmith.exporting.card import model_card
from convsmith.exporting.golden import Samples
from convsmith.exporting.graph import Input, to_program
from convsmith.exporting.libraries import require_installed
from convsmith.exporting.onnx import OnnxFile, to_onnx
from convsmith.exporting.openvino import onnx_to_openvino
from convsmith.exporting.pt2 import program_to_pt2
from convsmith.exporting.torchscript import to_torchscript
from convsmith.exporting.verify import Verified, tolerance_of, verify
from convsmith.models.pretrained import LIBRARIES
from convsmith.recipe.build import read_source
from convsmith_runtime.bundle import open_bundle
from convsmith_runtime.errors import BundleError

__all__ = ["Exported", "Format", "export"]

Format = Literal["onnx", "pt2", "torchscript", "openvino"]
PathLike = str | os.PathLike[str]

FILES = {
    "onnx": "model.convsmith",
    "pt2": "model.pt2",
    "torchscript": "model.ts",
    "openvino": "model.xml",
}
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
    loaded = load(run, runs=runs, module=model)
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


@contextmanager
def draft_folder(folder: Path) -> Iterator[Path]:
    """Lend a new folder in ``folder``; only if what is in it failed to verify, it stays."""
    place = folder / f"unverified-{secrets.token_hex(4)}"
    try:
        yield place
    except VerificationError:
        raise
    except BaseException:  # it is not whole
        shutil.rmtree(place, ignore_errors=True)
        raise


def failure(opened: Run, path: Path, verified: Verified) -> VerificationError:
    """Return what to raise for a file that does not do what the network does."""
    problems = "".join(f"\n  {each}" for each in verified.problems)
    return VerificationError(
        f"{path.name} does not do what the network of {opened.path} does; it is kept in "
        f"{path.parent}:{problems}"
    )


@dataclass(frozen=True)
class Draft:
    """What is being written, in a folder of its own until it is verified."""

    folder: Path
    network: nn.Module
    given: Input
    about: About
    samples: Samples
    tolerance: float

    def write(self, to: str) -> OnnxFile | None:
        """Write the format's files; return the ONNX file if there is one."""
        path, texts = self.folder / FILES[to], self.about.texts(self.given)
        if to == "pt2":
            program_to_pt2(to_program(self.network, self.given), path, texts)
        elif to == "torchscript":
            to_torchscript(self.network, self.given, path, texts)
        else:
            onnx = to_onnx(self.network, self.given, self.folder / "model.onnx", texts)
            if to == "onnx":
                self.bundle(onnx, self.about, [], {})
                return onnx
            onnx_to_openvino(onnx.path, path, texts)
            onnx.path.unlink()
        return None

    def bundle(
        self,
        onnx: OnnxFile,
        about: About,
        facts: list[tuple[str, str]],
        per_class: dict[str, float],
    ) -> None:
        """Write the bundle."""
        path = self.folder / FILES["onnx"]
        card = model_card(about, self.given, [*recorded(about), *facts], per_class, path.name)
        write_bundle(
            path,
            about,
            self.given,
            onnx,
            self.samples.golden,
            tolerance=self.tolerance,
            card=card,
        )

    def finish(self, onnx: OnnxFile, verified: Verified) -> None:
        """Write the bundle again, with what was measured, and read it as its users will.

        Raises:
            DamagedError: it cannot be read.
        """
        measured = {
            "engine": verified.engine,
            "top1": verified.top1,
            "images": verified.images,
            "largest_difference": verified.difference,
        }
        about = replace(self.about, metrics={**self.about.metrics, "exported": measured})
        size = onnx.path.stat().st_size
        facts = [
            (f"top-1 of this file, {verified.engine}", share(verified.top1, verified.images)),
            (
                "largest difference of a logit from the training's evaluation",
                f"{verified.difference:.1e}; {verified.tolerance:.1e} is allowed",
            ),
            ("model.onnx", f"{size:,} bytes, opset {onnx.opset}, fp32"),
        ]
        self.bundle(onnx, about, facts, verified.per_class)
        try:
            open_bundle(self.folder / FILES["onnx"])
        except BundleError as error:
            raise DamagedError(str(error)) from error

    def move_to(self, folder: Path) -> list[Path]:
        """Put the files where they belong, in the place of those that were there."""
        files = [path.replace(folder / path.name) for path in sorted(self.folder.iterdir())]
        self.folder.rmdir()
        return files


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


def recorded(about: About) -> list[tuple[str, str]]:
    """Return the figures that the run recorded, for the model card."""
    test: dict[str, Any] = about.metrics["test"]
    trained = f"test top-1 at the end of training, {about.metrics['precision']}"
    return [
        (trained, share(test["top1"], test["images"])),
        ("test top-5 at the end of training", share(test["top5"], test["images"])),
        ("parameters", f"{about.metrics['parameters']:,}"),
    ]


def share(value: float, images: int) -> str:
    """Return a share of images in words."""
    return f"{value:.2%} of {images:,} images"


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
