"""Writing a bundle: the ONNX file with all that predicting from it and checking it takes."""

import hashlib
import json
import zipfile
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

from convsmith.exporting.about import About
from convsmith.exporting.files import write_whole
from convsmith.exporting.graph import Input
from convsmith.exporting.onnx import OnnxFile
from convsmith_runtime.manifest import Golden, Graph, Manifest, Member, to_json

__all__ = ["write_bundle"]

LONG_AGO = (1980, 1, 1, 0, 0, 0)  # equal contents make equal files
TEXTS = (".json", ".md")


def write_bundle(
    path: Path,
    about: About,
    given: Input,
    model: OnnxFile,
    golden: Sequence[Golden],
    *,
    tolerance: float,
    card: str,
    precision: str = "fp32",
) -> None:
    """Write a bundle, format 1, whole or not at all.

    Args:
        path: the file, which is replaced.
        about: what it says of itself.
        given: what the network takes.
        model: its ONNX file.
        golden: image files with their logits.
        tolerance: the largest difference of a logit that replaying the golden samples may show.
        card: the model card, in Markdown.
        precision: of the network's weights and arithmetic: fp32, int8, …

    Raises:
        WriteError: the file cannot be written.
    """
    samples = [{"image": g.name, "label": g.label, "logits": list(g.logits)} for g in golden]
    contents = {
        "model.onnx": model.path.read_bytes(),
        "golden.json": json.dumps(samples, allow_nan=False).encode(),
        "card.md": card.encode(),
        **{each.name: each.data for each in golden},
    }
    manifest = Manifest(
        name=about.name,
        created=about.created,
        convsmith=about.convsmith,
        network=about.network,
        classes=about.classes,
        preprocessing=about.preprocessing(given),
        graph=Graph("model.onnx", precision, model.opset, "input", "output", model.maps),
        tolerance=tolerance,
        metrics=about.metrics,
        recipe=about.recipe,
        licence=about.licence,
        members=tuple(
            Member(name, hashlib.sha256(data).hexdigest(), len(data))
            for name, data in contents.items()
        ),
    )
    packed = BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, data in {"manifest.json": to_json(manifest).encode(), **contents}.items():
            info = zipfile.ZipInfo(name, LONG_AGO)
            info.external_attr = 0o100644 << 16  # a regular file
            # Weights and images do not shrink; packed, the one would take long to read.
            info.compress_type = (
                zipfile.ZIP_DEFLATED if name.endswith(TEXTS) else zipfile.ZIP_STORED
            )
            archive.writestr(info, data)
    write_whole(path, packed.getvalue())
