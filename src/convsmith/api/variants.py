"""The variants that ``compress`` makes of a network, each ready to run, and its file."""

import copy
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import nn

from convsmith.api.folded import Folded, no_images, to_proto
from convsmith.compression.calibrate import Calibrated, calibrated
from convsmith.compression.ends import full
from convsmith.compression.fake import fake_quantised, trained_weights
from convsmith.compression.fuse import fuse
from convsmith.compression.layers import Array
from convsmith.compression.measure import Runner, onnx_runner, torch_runner
from convsmith.compression.prune import Pruned, prune
from convsmith.compression.quantize import bf16_weights, dynamic, static, weights_only
from convsmith.compression.runtime import executed, integer_layers

__all__ = ["KINDS", "Made", "Train", "Workshop"]

KINDS = ("fuse", "bf16", "weights", "dynamic", "static", "full", "qat", "prune")
Train = Callable[[nn.Module, str], None]
"""Trains a network on, in place; told for which kind."""

PYTORCH, ONNX_RUNTIME = "PyTorch", "ONNX Runtime"


@dataclass(frozen=True)
class Made:
    """One variant: what runs it, on what engine, its size in bytes, its file's content."""

    name: str
    engine: str
    runner: Runner
    size: int
    about: str
    content: bytes | None = None
    integer_layers: int = 0


@dataclass
class Workshop:
    """What the variants are made of. ``calibration`` ``(N, C, H, W)`` uint8 are training images."""

    folded: Folded
    calibration: Sequence[Array]
    threads: int
    largest: int
    train: Train
    share: float
    integers: Calibrated = field(init=False)
    pruned: Pruned | None = None

    def __post_init__(self) -> None:
        self.integers = calibrated(self.folded.proto, self.calibration, self.threads)

    def original(self) -> Made:
        """Return the network as ``load`` gives it."""
        network = self.folded.network
        runner = torch_runner(network, self.folded.given)
        return Made("original", PYTORCH, runner, size_of(network), "as it was trained, fp32")

    def make(self, kind: str, keep_float: Collection[str] = ()) -> list[Made]:
        """Return the variants of one kind; layers in ``keep_float`` stay as they are."""
        made: list[Made] = getattr(self, f"make_{kind}")(keep_float)
        return made

    def make_fuse(self, keep_float: Collection[str]) -> list[Made]:
        """Return the network with its normalisations folded, in both engines."""
        folded = self.folded.fused.model
        runner = torch_runner(folded, self.folded.given)
        about = "BatchNorm folded, fp32"
        return [
            Made("fuse (PyTorch)", PYTORCH, runner, size_of(folded), about),
            self.onnx("fuse", self.folded.proto, about),
        ]

    def make_bf16(self, keep_float: Collection[str]) -> list[Made]:
        """Return the folded network in bf16: computed so by PyTorch, stored so for ONNX Runtime."""
        short = copy.deepcopy(self.folded.fused.model).to(torch.bfloat16)
        short.to(memory_format=torch.channels_last)
        runner = torch_runner(short, self.folded.given, torch.bfloat16, torch.channels_last)
        about = "folded, weights and arithmetic in bf16"
        return [
            Made("bf16 (PyTorch)", PYTORCH, runner, size_of(short), about),
            self.onnx("bf16", bf16_weights(self.folded.proto), "folded, weights kept in bf16"),
        ]

    def make_weights(self, keep_float: Collection[str]) -> list[Made]:
        """Return the network with int8 weights alone."""
        made = weights_only(self.folded.proto, keep_float=keep_float)
        return [self.onnx("weights", made, "int8 weights, real again when loaded")]

    def make_dynamic(self, keep_float: Collection[str]) -> list[Made]:
        """Return the network that takes the ranges of its activations as it runs."""
        made = dynamic(self.folded.proto, keep_float=keep_float, largest=self.largest)
        return [self.onnx("dynamic", made, "int8 weights, ranges taken at run time")]

    def make_static(self, keep_float: Collection[str]) -> list[Made]:
        """Return the network with ranges from calibration."""
        about = "int8 weights, uint8 activations, calibrated" + left(keep_float)
        return [self.onnx("static", self.to_static(self.integers, keep_float), about)]

    def to_static(
        self, integers: Calibrated, keep_float: Collection[str] = (), *, between: bool = True
    ) -> Any:
        """Return a calibrated network with integers."""
        return static(
            integers.proto,
            integers.ranges,
            means=integers.means,
            keep_float=keep_float,
            largest=self.largest,
            between=between,
        )

    def make_full(self, keep_float: Collection[str]) -> list[Made]:
        """Return the network whose input and output are integers too."""
        made = full(
            self.integers.proto,
            self.integers.ranges,
            means=self.integers.means,
            keep_float=keep_float,
            largest=self.largest,
        )
        about = "integers from the image to the logits" + left(keep_float)
        if not self.integers.whole:
            about += "; the image is normalised in fp32 first"
        return [self.onnx("full", made, about)]

    def make_qat(self, keep_float: Collection[str]) -> list[Made]:
        """Return the network trained on with rounded numbers, then quantised as ``static``."""
        given = self.folded.given
        factors = [1 / (std * given.scale) for std in given.std]
        rounded = fake_quantised(
            self.folded.fused.model,
            no_images(given),
            largest=self.largest,
            factors=factors if self.integers.whole else (1.0,),
        )
        self.train(rounded, "qat")
        learned = copy.deepcopy(self.folded.fused.model)
        learned.load_state_dict(trained_weights(rounded))
        integers = calibrated(to_proto(learned, given), self.calibration, self.threads)
        # its biases have learned what rounding the weights changes
        integers = replace(integers, means=integers.whole)
        about = "static, after training on with rounded numbers" + left(keep_float)
        return [self.onnx("qat", self.to_static(integers, keep_float), about)]

    def make_prune(self, keep_float: Collection[str]) -> list[Made]:
        """Return the network with fewer channels, trained on: in fp32, and with integers."""
        example = no_images(self.folded.given)
        self.pruned = prune(self.folded.network, example, self.share)
        self.train(self.pruned.model, "prune")
        proto = to_proto(fuse(self.pruned.model, example).model, self.folded.given)
        before, after = self.pruned.parameters
        about = f"{after / before:.0%} of the parameters, folded, fp32"
        integers = calibrated(proto, self.calibration, self.threads)
        return [
            self.onnx("prune", proto, about),
            self.onnx(
                "prune-static",
                self.to_static(integers, keep_float),
                f"{about[:-6]} and static{left(keep_float)}",
            ),
        ]

    def onnx(self, name: str, proto: Any, about: str) -> Made:
        """Return a variant that is an ONNX file."""
        content = proto.SerializeToString()
        count = integer_layers(executed(proto))
        runner = onnx_runner(content, self.threads)
        return Made(name, ONNX_RUNTIME, runner, len(content), about, content, count)


def size_of(network: nn.Module) -> int:
    """Return the bytes of a network's weights and buffers."""
    return sum(each.nbytes for each in network.state_dict().values())


def left(keep_float: Collection[str]) -> str:
    """Return how many layers stay as they are, in words."""
    if not keep_float:
        return ""
    return f"; {len(keep_float)} {'layer' if len(keep_float) == 1 else 'layers'} in fp32"
