"""Predicting from a bundle with ONNX Runtime, on the processor."""

import os
from dataclasses import dataclass
from typing import IO

import numpy
from numpy.typing import NDArray
from PIL import Image

from convsmith_runtime.bundle import Bundle
from convsmith_runtime.decode import Pixels, decode
from convsmith_runtime.errors import BundleError, ImageError
from convsmith_runtime.words import printable

__all__ = ["Guess", "Prediction", "Predictor", "probabilities"]

Given = str | os.PathLike[str] | IO[bytes] | Image.Image
Maps = NDArray[numpy.float32] | None


@dataclass(frozen=True)
class Guess:
    """One class and the probability that the network gives it."""

    label: str
    probability: float


@dataclass(frozen=True)
class Prediction:
    """What a network says of one image: its best guesses, likeliest first."""

    image: str
    guesses: tuple[Guess, ...]

    @property
    def label(self) -> str:
        """Return the likeliest class."""
        return self.guesses[0].label


class Predictor:
    """A bundle's network, ready to run; several threads may use one together. Final."""

    def __init__(self, bundle: Bundle, threads: int | None = None) -> None:
        """Load the network.

        Args:
            bundle: what :func:`convsmith_runtime.bundle.open_bundle` returned.
            threads: how many one prediction uses; None is as many as there are cores.

        Raises:
            BundleError: ONNX Runtime cannot load it, or it does not take or give what it says.
        """
        import onnxruntime  # heavy, and not needed to read a bundle

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # errors; they are raised as well
        options.intra_op_num_threads = threads or 0
        # A thread that waits gives up its core: here, others decode and answer meanwhile.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.add_session_config_entry("session.load_model_format", "ONNX")  # what was looked at
        try:
            self._session = onnxruntime.InferenceSession(
                bundle.model, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # ONNX Runtime has many kinds
            raise BundleError(f"the network cannot be loaded: {first_line(error)}") from error
        self.bundle = bundle
        self._shape = (bundle.preprocessing.channels, *bundle.preprocessing.image_size)
        self._names = [bundle.graph.output]
        if bundle.graph.maps is not None:
            self._names.append(bundle.graph.maps)
        self._require_agreement()

    def _require_agreement(self) -> None:
        """Raise BundleError unless the network's input and outputs are those of the manifest."""
        inputs = {each.name: each for each in self._session.get_inputs()}
        outputs = {each.name: each for each in self._session.get_outputs()}
        graph = self.bundle.graph
        if list(inputs) != [graph.input] or not {*self._names} <= {*outputs}:
            raise BundleError("the network's inputs and outputs are not those of manifest.json")
        given = inputs[graph.input]
        if given.type != "tensor(uint8)" or tuple(given.shape[1:]) != self._shape:
            raise BundleError("the network does not take the images that manifest.json says")
        if outputs[graph.output].shape[1:] != [len(self.bundle.classes)]:
            raise BundleError("the network does not give one logit for each class")

    @property
    def metadata(self) -> dict[str, str]:
        """Return what the network's file itself says of the network."""
        return dict(self._session.get_modelmeta().custom_metadata_map)

    def run(self, pixels: NDArray[numpy.uint8]) -> tuple[NDArray[numpy.float32], Maps]:
        """Return logits ``(N, classes)`` and class activation maps ``(N, classes, h, w)``.

        The maps are None if the network has none. Their mean over the places, and the head's bias,
        are the logits.

        Args:
            pixels: ``(N, C, H, W)`` uint8, of the bundle's size.

        Raises:
            ImageError: they are of another shape or type.
            BundleError: the network fails, perhaps for want of memory.
        """
        if pixels.dtype != numpy.uint8 or pixels.shape[1:] != self._shape or not len(pixels):
            expected = ", ".join(map(str, self._shape))
            raise ImageError(
                f"this network takes uint8 images of shape (N, {expected}), "
                f"not {pixels.dtype} {pixels.shape}"
            )
        given = {self.bundle.graph.input: numpy.ascontiguousarray(pixels)}
        try:
            logits, *maps = self._session.run(self._names, given)
        except Exception as error:  # ONNX Runtime has many kinds
            number = f"{len(pixels):,} image{'s' if len(pixels) > 1 else ''} at once"
            raise BundleError(f"the network fails on {number}: {first_line(error)}") from error
        return logits, maps[0] if maps else None

    def read(self, file: Given) -> Pixels:
        """Return an image file, an open file or a Pillow image as the ``(C, H, W)`` uint8 to run.

        Raises:
            ImageError: it is missing, not an image, cut off, or of too many pixels.
        """
        rule = self.bundle.preprocessing
        return decode(file, rule.channels, rule.image_size, rule.resize)

    def predict(self, file: Given, top: int = 5) -> Prediction:
        """Return the ``top`` likeliest classes of an image file, an open file or a Pillow image.

        Raises:
            ImageError: it cannot be read.
        """
        name = os.fspath(file) if isinstance(file, str | os.PathLike) else "image"
        logits, _ = self.run(self.read(file)[None])
        return self.prediction(name, logits[0], top)

    def prediction(self, name: str, logits: NDArray[numpy.float32], top: int = 5) -> Prediction:
        """Return the ``top`` likeliest classes, given the ``(classes,)`` logits."""
        shares = probabilities(logits)
        best = numpy.argsort(-shares, kind="stable")[:top]
        classes = self.bundle.classes
        return Prediction(name, tuple(Guess(classes[i], float(shares[i])) for i in best))


def probabilities(logits: NDArray[numpy.float32]) -> NDArray[numpy.float64]:
    """Return the softmax of logits over their last dimension."""
    values = logits.astype(numpy.float64)
    powers = numpy.exp(values - values.max(-1, keepdims=True))
    shares: NDArray[numpy.float64] = powers / powers.sum(-1, keepdims=True)
    return shares


def first_line(error: BaseException) -> str:
    """Return the first line of an error's text."""
    return printable((str(error).splitlines() or [type(error).__name__])[0][:200])
