"""Export a network of every family, and verify each file in a fresh process.

    python benchmarks/export.py [NAME ...] [--formats onnx pt2]

The networks have random weights and statistics as after a training, the images are smooth and of
random colours: what is measured is whether the exported file does what the network does.
"""

import argparse
import tempfile
import time
from pathlib import Path

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from convsmith.data.normalise import Normalise
from convsmith.errors import ConvsmithError
from convsmith.exporting.about import About
from convsmith.exporting.bundle import write_bundle
from convsmith.exporting.golden import make_samples
from convsmith.exporting.graph import Input, to_program
from convsmith.exporting.onnx import program_to_onnx
from convsmith.exporting.openvino import onnx_to_openvino
from convsmith.exporting.pt2 import program_to_pt2
from convsmith.exporting.verify import Expected, tolerance_of, verify
from convsmith.models import MODELS

CLASSES = tuple("abcdefghij")
MEAN, STD = (0.48, 0.44, 0.40), (0.21, 0.25, 0.29)

NETWORKS = {  # name -> (family, channels, side, options)
    "compact_cnn": ("compact_cnn", 3, 32, {}),
    "digits_cnn": ("digits_cnn", 1, 8, {}),
    "mlp": ("mlp", 1, 8, {}),
    "mnist_bn": ("mnist_bn", 1, 28, {}),
    "mnist_cnn": ("mnist_cnn", 1, 28, {}),
    "resnet_small": ("resnet_small", 3, 32, {}),
    "resnet_small, group": ("resnet_small", 3, 32, {"norm": "group"}),
    "resnet_wide3": ("resnet_wide3", 3, 32, {}),
    "vgg_bn": ("vgg_bn", 3, 32, {}),
    "vgg_bn, ghost": ("vgg_bn", 3, 32, {"norm": "ghost"}),
    **{
        f"torchvision/{name}": ("torchvision", 3, 64, {"architecture": name})
        for name in (
            "resnet18",
            "mobilenet_v3_small",
            "efficientnet_b0",
            "convnext_tiny",
            "vit_b_16",
        )
    },
    **{
        f"timm/{name}": ("timm", 3, 64, {"architecture": name})
        for name in ("resnet18", "mobilenetv3_small_050", "convnext_atto", "test_vit")
    },
}


def make(family, channels, side, options):
    """A network with weights by seed and statistics of its own."""
    torch.manual_seed(0)
    network = MODELS[family](len(CLASSES), channels, (side, side), **options)
    for module in network.modules():
        if isinstance(module, _BatchNorm):
            nn.init.uniform_(module.running_mean, -0.2, 0.2)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
        elif isinstance(module, nn.Linear) and not module.weight.any():
            nn.init.normal_(module.weight, std=0.1)  # logits of 0 would agree whatever happens
    return network.eval()


def expectations(network, given):
    """What the network says of images, as training's evaluation would have it."""
    draw = torch.Generator().manual_seed(1)
    small = torch.rand(64, given.channels, 5, 5, generator=draw)
    smooth = nn.functional.interpolate(small, given.image_size, mode="bilinear")
    pixels = (smooth * 255).round().to(torch.uint8)
    normalise = Normalise(given.mean, given.std)

    def judge(images):
        with torch.no_grad():
            return network(normalise(images)).float()

    logits = judge(pixels)
    labels = logits.argmax(1)
    samples = make_samples(pixels, labels.tolist(), [None] * len(pixels), judge, "stretch")
    return Expected(CLASSES, samples.golden, pixels.numpy(), labels.numpy(), logits.numpy())


def export(network, given, expected, formats, place):
    """Yield (format, file, its maps, seconds) of what was written."""
    about = About(
        "benchmark", "2026-01-01T00:00:00+00:00", "0", None, CLASSES, "stretch", {}, "", None
    )
    texts = about.texts(given)
    started = time.perf_counter()
    program = to_program(network, given)
    traced = time.perf_counter() - started
    if "pt2" in formats:
        started = time.perf_counter()
        program_to_pt2(program, place / "model.pt2", texts)
        yield "pt2", place / "model.pt2", "", traced + time.perf_counter() - started
    if {"onnx", "openvino"} & {*formats}:
        started = time.perf_counter()
        model = program_to_onnx(program, place / "model.onnx", texts)
        taken = traced + time.perf_counter() - started
        if "onnx" in formats:
            tolerance = tolerance_of(expected.logits)
            path = place / "model.convsmith"
            write_bundle(path, about, given, model, expected.golden, tolerance=tolerance, card="")
            yield "onnx", path, "maps" if model.maps else "", taken
        if "openvino" in formats:
            onnx_to_openvino(model.path, place / "model.xml", texts)
            yield "openvino", place / "model.xml", "", taken


def main():
    """Print a row for each file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", choices=[[], *NETWORKS], metavar="NAME")
    parser.add_argument("--formats", nargs="+", default=["onnx", "pt2"])
    asked = parser.parse_args()
    print("| network | parameters | format | written in | largest logit | difference | verdict |")
    print("|---|---|---|---|---|---|---|")
    for name in asked.names or NETWORKS:
        family, channels, side, options = NETWORKS[name]
        given = Input(channels, (side, side), MEAN[:channels], STD[:channels])
        with tempfile.TemporaryDirectory() as folder:
            try:
                network = make(family, channels, side, options)
                size = sum(each.numel() for each in network.parameters())
                expected = expectations(network, given)
                for each, path, maps, taken in export(
                    network, given, expected, asked.formats, Path(folder)
                ):
                    found = verify(each, path, expected)
                    verdict = "; ".join(found.problems) or ", ".join(
                        filter(None, ["verified", maps])
                    )
                    print(
                        f"| {name} | {size:,} | {each} | {taken:.1f} s "
                        f"| {abs(expected.logits).max():.2g} | {found.difference:.1e} "
                        f"| {verdict} |",
                        flush=True,
                    )
            except ConvsmithError as error:
                print(f"| {name} | | | | | | not exported: {error} |", flush=True)


if __name__ == "__main__":
    main()
