"""What is being exported: written into a folder of its own, and moved when it is verified."""

import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from convsmith.errors import DamagedError, VerificationError
from convsmith.exporting.about import About
from convsmith.exporting.bundle import write_bundle
from convsmith.exporting.card import model_card
from convsmith.exporting.golden import Samples
from convsmith.exporting.graph import Input, to_program
from convsmith.exporting.onnx import OnnxFile, to_onnx
from convsmith.exporting.openvino import onnx_to_openvino
from convsmith.exporting.pt2 import program_to_pt2
from convsmith.exporting.torchscript import to_torchscript
from convsmith.exporting.verify import Verified
from convsmith_runtime.bundle import open_bundle
from convsmith_runtime.errors import BundleError

__all__ = ["FILES", "Draft", "draft_folder"]

FILES = {
    "onnx": "model.convsmith",
    "pt2": "model.pt2",
    "torchscript": "model.ts",
    "openvino": "model.xml",
}


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
