"""What the fresh process runs that verifies an export: image files in, logits out.

``python -m convsmith.exporting.replay FOLDER`` reads ``job.json`` there, and writes ``golden.npy``,
``logits.npy`` and ``answer.json``. It knows nothing of the training: the rule for reading image
files and the names of the classes are those that the exported file itself states. PyTorch is
imported for the formats that only PyTorch reads, and these files were written a moment ago: no
other one is ever given to its loaders, which can execute code.
"""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
from numpy.typing import NDArray

from convsmith_runtime.decode import Resize, decode

__all__ = ["ENGINES", "Engine", "main"]

BATCH = 64


@dataclass(frozen=True)
class Engine:
    """An exported network that is loaded; ``name`` says by what."""

    name: str
    classes: list[str]
    channels: int
    image_size: tuple[int, int]
    resize: Resize
    run: Callable[[NDArray[numpy.uint8]], NDArray[numpy.float32]]


def open_onnx(path: str) -> Engine:
    """Load a bundle as its users do."""
    import onnxruntime

    from convsmith_runtime.bundle import open_bundle
    from convsmith_runtime.predict import Predictor

    bundle = open_bundle(path)
    predictor = Predictor(bundle)
    said = json.loads(predictor.metadata["classes"])
    if said != list(bundle.classes):
        raise SystemExit("the classes in the ONNX file are not those of the bundle")
    return Engine(
        f"ONNX Runtime {onnxruntime.__version__}",
        list(bundle.classes),
        bundle.preprocessing.channels,
        bundle.preprocessing.image_size,
        bundle.preprocessing.resize,
        lambda pixels: predictor.run(pixels)[0],
    )


def open_openvino(path: str) -> Engine:
    """Load what OpenVINO reads."""
    import openvino

    model = openvino.Core().read_model(path)
    texts = {key: model.get_rt_info(["convsmith", key]).value for key in STATED}
    compiled = openvino.compile_model(
        model,
        "CPU",
        {"INFERENCE_PRECISION_HINT": "f32"},  # processors with bf16 would use it
    )
    return stated(
        f"OpenVINO {openvino.__version__.partition('-')[0]}",
        texts,
        lambda pixels: compiled([pixels])["output"],
    )


def open_pt2(path: str) -> Engine:
    """Load what ``torch.export`` wrote."""
    import torch

    texts = {"convsmith.json": ""}
    program = torch.export.load(path, extra_files=texts)
    return of_torch(program.module(), json.loads(texts["convsmith.json"]))


def open_torchscript(path: str) -> Engine:
    """Load TorchScript."""
    import torch

    texts = {"convsmith.json": ""}
    module = torch.jit.load(path, _extra_files=texts)
    return of_torch(module, json.loads(texts["convsmith.json"]))


def of_torch(module: Any, texts: dict[str, str]) -> Engine:
    """Return what runs a module of PyTorch."""
    import torch

    def run(pixels: NDArray[numpy.uint8]) -> Any:
        with torch.inference_mode():
            return module(torch.from_numpy(pixels)).numpy()

    return stated(f"PyTorch {torch.__version__.partition('+')[0]}", texts, run)


STATED = ("classes", "preprocessing")


def stated(name: str, texts: dict[str, str], run: Callable[[Any], Any]) -> Engine:
    """Return an engine that reads images as its file's metadata say."""
    rule = json.loads(texts["preprocessing"])
    height, width = rule["image_size"]
    classes = json.loads(texts["classes"])
    return Engine(name, classes, rule["channels"], (height, width), rule["resize"], run)


ENGINES: dict[str, Callable[[str], Engine]] = {
    "onnx": open_onnx,
    "openvino": open_openvino,
    "pt2": open_pt2,
    "torchscript": open_torchscript,
}


def main(folder: str) -> None:
    """Run one job."""
    place = Path(folder)
    job = json.loads((place / "job.json").read_text(encoding="utf-8"))
    engine = ENGINES[job["format"]](job["path"])
    files = [
        decode(place / name, engine.channels, engine.image_size, engine.resize)
        for name in job["golden"]
    ]
    images = numpy.load(place / "images.npy", mmap_mode="r")
    numpy.save(place / "golden.npy", in_batches(engine, numpy.stack(files)))
    numpy.save(place / "logits.npy", in_batches(engine, images))
    answer = {"engine": engine.name, "classes": engine.classes, "torch": "torch" in sys.modules}
    (place / "answer.json").write_text(json.dumps(answer), encoding="utf-8")


def in_batches(engine: Engine, images: NDArray[numpy.uint8]) -> NDArray[numpy.float32]:
    """Return the logits of images, a batch at a time."""
    starts = range(0, len(images), BATCH)
    return numpy.concatenate(
        [engine.run(numpy.array(images[start : start + BATCH])) for start in starts]
    )


if __name__ == "__main__":
    main(sys.argv[1])
