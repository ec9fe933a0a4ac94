"""Small bundles, made by hand: whole ones, and such as nobody should open."""

import hashlib
import io
import json
import zipfile

import numpy
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

CLASSES = ("cat", "dog", "owl", "fox")
SIZE = (6, 5)


def weights(channels=3):
    """The head of the network: ``(classes, channels)`` and ``(classes,)``."""
    draw = numpy.random.default_rng(0)
    head = draw.normal(size=(len(CLASSES), channels)).astype(numpy.float32) / 50
    return head, draw.normal(size=len(CLASSES)).astype(numpy.float32)


def network(channels=3, size=SIZE, change=lambda graph: None):
    """An ONNX model: the mean of each channel, and a linear layer; with maps."""
    head, bias = weights(channels)
    tensors = {
        "axes": numpy.array([2, 3]),
        "head": head,
        "bias": bias,
        "filters": head[:, :, None, None],
    }
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["input"], ["values"], to=TensorProto.FLOAT),
            helper.make_node("ReduceMean", ["values", "axes"], ["means"], keepdims=0),
            helper.make_node("Gemm", ["means", "head", "bias"], ["output"], transB=1),
            helper.make_node("Conv", ["values", "filters"], ["maps"]),
        ],
        "tiny",
        [helper.make_tensor_value_info("input", TensorProto.UINT8, ["n", channels, *size])],
        [
            helper.make_tensor_value_info("output", TensorProto.FLOAT, ["n", len(CLASSES)]),
            helper.make_tensor_value_info("maps", TensorProto.FLOAT, ["n", len(CLASSES), *size]),
        ],
        [numpy_helper.from_array(value, name) for name, value in tensors.items()],
    )
    change(graph)
    opsets = [helper.make_opsetid("", 20)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)


def expected(pixels):
    """What the network says of ``(N, C, H, W)`` images, by NumPy alone."""
    head, bias = weights(pixels.shape[1])
    return pixels.astype(numpy.float64).mean((2, 3)) @ head.T + bias


def picture(seed=0, size=SIZE):
    """An image ``(C, H, W)`` uint8 and its PNG file."""
    draw = numpy.random.default_rng(seed)
    pixels = draw.integers(0, 256, (3, *size), dtype=numpy.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels.transpose(1, 2, 0)).save(file, "PNG")
    return pixels, file.getvalue()


def contents(model=None, samples=2):
    """The members of a bundle, but for its manifest."""
    files = {"model.onnx": (model or network()).SerializeToString()}
    golden = []
    for number in range(samples):
        pixels, data = picture(number)
        name = f"golden/{number:03d}.png"
        files[name] = data
        logits = expected(pixels[None])[0].tolist()
        golden.append({"image": name, "label": number, "logits": logits})
    files["golden.json"] = json.dumps(golden).encode()
    files["card.md"] = b"# tiny\n"
    return files


def manifest(files, **changes):
    """What the manifest says of these members, with some of it changed."""
    return {
        "format": 1,
        "name": "tiny",
        "created": "2026-01-01T00:00:00+00:00",
        "convsmith": "0.1.0",
        "network": None,
        "classes": list(CLASSES),
        "preprocessing": {"channels": 3, "image_size": list(SIZE), "resize": "stretch"},
        "model": {
            "file": "model.onnx",
            "precision": "fp32",
            "opset": 20,
            "input": "input",
            "output": "output",
            "maps": "maps",
        },
        "tolerance": 1e-3,
        "metrics": {"test": {"top1": 0.5}},
        "recipe": "",
        "licence": None,
        "members": {
            name: {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
            for name, data in files.items()
        },
    } | changes


def pack(path, files, about=None, kind=zipfile.ZIP_DEFLATED):
    """Write a bundle of these members."""
    with zipfile.ZipFile(path, "w", kind) as archive:
        archive.writestr("manifest.json", json.dumps(manifest(files) if about is None else about))
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def external(name="weights"):
    """A tensor that lies in another file."""
    tensor = TensorProto(name=name, dims=[1], data_type=TensorProto.FLOAT)
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="secret.bin")
    return tensor
