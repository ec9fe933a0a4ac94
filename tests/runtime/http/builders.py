"""A small real bundle, and a real server for it."""

import hashlib
import io
import json
import threading
import time
import zipfile
from contextlib import contextmanager

import numpy
import onnx
import uvicorn
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from convsmith_runtime.bundle import open_bundle
from convsmith_runtime.http.app import create_app
from convsmith_runtime.http.limits import Limits
from convsmith_runtime.http.patience import Patience
from convsmith_runtime.predict import Predictor

CLASSES = ("red", "green", "blue")
SIZE = 16


def png(colour="red", size=(20, 20), mode="RGB", kind="PNG", **options):
    """The bytes of an image file of one colour."""
    file = io.BytesIO()
    Image.new(mode, size, colour).save(file, kind, **options)
    return file.getvalue()


def network(maps=True):
    """An ONNX model that says which of three colours is strongest, and where."""
    scale = numpy_helper.from_array(numpy.float32(1 / 25.5), "scale")
    bias = numpy_helper.from_array(numpy.float32([0.3, 0.2, 0.1]), "bias")
    stride = [SIZE // 4, SIZE // 4]
    nodes = [
        helper.make_node("Cast", ["input"], ["whole"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["whole", "scale"], ["scaled"]),
        helper.make_node("AveragePool", ["scaled"], ["maps"], kernel_shape=stride, strides=stride),
        helper.make_node("GlobalAveragePool", ["maps"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("Add", ["flat", "bias"], ["output"]),
    ]
    given = helper.make_tensor_value_info("input", TensorProto.UINT8, ["n", 3, SIZE, SIZE])
    outputs = [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["n", 3])]
    if maps:
        outputs.append(helper.make_tensor_value_info("maps", TensorProto.FLOAT, ["n", 3, 4, 4]))
    graph = helper.make_graph(nodes, "colours", [given], outputs, [scale, bias])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def make_bundle(path, maps=True, classes=CLASSES, tamper=0.0):
    """Write a bundle with two golden samples, whose logits are off by ``tamper``."""
    files = {"model.onnx": network(maps), "card.md": b"# Colours\n"}
    golden = []
    for number, colour in enumerate(("red", "blue")):
        files[f"golden/{number:03}.png"] = png(colour)
        logits = [0.3 + tamper, 0.2, 0.1]
        logits[CLASSES.index(colour)] += 10
        golden.append(
            {
                "image": f"golden/{number:03}.png",
                "label": CLASSES.index(colour),
                "logits": logits,
            }
        )
    files["golden.json"] = json.dumps(golden).encode()
    manifest = {
        "format": 1,
        "name": "colours",
        "created": "2026-01-01T00:00:00+00:00",
        "convsmith": "0.1.0",
        "network": "average",
        "classes": list(classes),
        "preprocessing": {"channels": 3, "image_size": [SIZE, SIZE], "resize": "stretch"},
        "model": {
            "file": "model.onnx",
            "precision": "fp32",
            "opset": 20,
            "input": "input",
            "output": "output",
            "maps": "maps" if maps else None,
        },
        "tolerance": 1e-4,
        "metrics": {"test_top1": 0.987},
        "recipe": "base: digits\n",
        "licence": None,
        "members": {
            name: {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
            for name, data in files.items()
        },
    }
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("manifest.json", json.dumps(manifest))
        for name, data in files.items():
            archive.writestr(name, data)
    return path


class Slow:
    """A predictor that takes its time, and notes how many images it was given at once."""

    def __init__(self, predictor, seconds):
        self.bundle = predictor.bundle
        self.seconds = seconds
        self.batches = []
        self._run = predictor.run

    def run(self, pixels):
        self.batches.append(len(pixels))
        time.sleep(self.seconds)
        return self._run(pixels)


def predictor(path):
    return Predictor(open_bundle(path), threads=1)


@contextmanager
def serving(predictor, limits=None, **options):
    """Serve in a thread; yields the address, and ends when everything is answered."""
    app = create_app(predictor, limits=limits or Limits(), **options)
    config = uvicorn.Config(
        app,
        port=0,
        http=Patience,
        ws="none",
        log_config=None,
        access_log=False,
        timeout_keep_alive=60,  # a busy machine must not break a connection that a test keeps
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
        assert thread.is_alive()
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(30)
        assert not thread.is_alive()
