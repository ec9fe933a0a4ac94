"""Every engine gives the network's own answers."""

import numpy
import pytest
import torch

from convsmith.benchmark.engines import has_compiler, onnx_engine, torch_engine
from convsmith.compression.fuse import fuse
from convsmith.compression.measure import torch_runner
from convsmith.errors import UserError
from convsmith.exporting.graph import Input
from convsmith.exporting.onnx import to_onnx
from convsmith.models import MODELS

GIVEN = Input(1, (8, 8), (0.3,), (0.4,), 16.0)
IMAGES = numpy.random.default_rng(0).integers(0, 17, (6, 1, 8, 8), dtype=numpy.uint8)


@pytest.fixture
def network():
    torch.manual_seed(0)
    model = MODELS["digits_cnn"](10, 1, (8, 8)).train()
    with torch.no_grad():
        for _ in range(3):  # BatchNorm's statistics are no longer those of a new network
            model(torch.randn(32, 1, 8, 8))
    return model.eval()


@pytest.mark.parametrize(("kind", "tolerance"), [("eager", 1e-6), ("bf16", 0.1)])
def test_pytorch(network, kind, tolerance):
    expected = torch_runner(network, GIVEN)(IMAGES)
    found = torch_engine(kind, network, GIVEN, 1)(IMAGES)
    assert numpy.abs(found - expected).max() < tolerance


@pytest.mark.skipif(not has_compiler(), reason="there is no C++ compiler")
def test_compiled(network):
    expected = torch_runner(network, GIVEN)(IMAGES)
    run = torch_engine("compiled", network, GIVEN, 1)
    for count in (1, 6):
        assert numpy.abs(run(IMAGES[:count]) - expected[:count]).max() < 1e-4


@pytest.mark.parametrize("kind", ["onnxruntime", "openvino"])
def test_onnx_files(network, kind, tmp_path):
    expected = torch_runner(network, GIVEN)(IMAGES)
    path = tmp_path / "model.onnx"
    to_onnx(fuse(network, torch.zeros(2, 1, 8, 8)).model, GIVEN, path)
    found = onnx_engine(kind, path, 1)(IMAGES)
    values = found[0]  # the first output, in both
    assert numpy.abs(numpy.asarray(values) - expected).max() < 1e-4
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserError, match="does not take"):
        onnx_engine(kind, path, 1)
