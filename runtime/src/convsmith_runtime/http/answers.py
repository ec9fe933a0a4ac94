"""What the server says, as JSON: the shapes that /openapi.json documents, and how they are made."""

import json
from base64 import b64encode
from collections.abc import Sequence
from io import BytesIO
from typing import Any

import numpy
from fastapi.responses import JSONResponse
from PIL import Image
from pydantic import BaseModel

from convsmith_runtime.bundle import Bundle
from convsmith_runtime.decode import Pixels
from convsmith_runtime.http.batching import Look
from convsmith_runtime.http.checks import FORMATS
from convsmith_runtime.http.limits import Limits, Refused
from convsmith_runtime.predict import probabilities

__all__ = ["Answer", "Answers", "Failure", "Model", "answer", "describe", "refusal", "words"]

MOST_MAPS = 10  # or a short request would have a very long answer


class Guess(BaseModel):
    """One class, its place among the classes, and the probability that the network gives it."""

    label: str
    index: int
    probability: float


class Answer(BaseModel):
    """What the network says of one image.

    ``maps`` has a class activation map for each of the first ten guesses, rows of numbers from the
    top: how much each place speaks for the class. ``seen`` is the image as the network sees it, a
    PNG as a data: address. Both are null unless they were asked for; ``maps`` also if the network
    has none.
    """

    image: str
    guesses: list[Guess]
    maps: list[list[list[float]]] | None = None
    seen: str | None = None


class Answers(BaseModel):
    """An answer for each image, in the order in which they were sent."""

    model: str
    predictions: list[Answer]


class BadImage(BaseModel):
    """An image that cannot be used: its place in the request, its name, and why."""

    index: int
    image: str
    reason: str


class Reason(BaseModel):
    """Why there is no answer: a word for programs, a line for people."""

    kind: str
    message: str
    images: list[BadImage] | None = None


class Failure(BaseModel):
    """The body of every answer with a status of 400 or more."""

    error: Reason


class Example(BaseModel):
    """A golden sample: its number in /v1/examples, and its true class if that is known."""

    number: int
    label: str | None


class Input(BaseModel):
    """How an image becomes what the network takes; sizes are in pixels."""

    channels: int
    height: int
    width: int
    resize: str


class Allowed(BaseModel):
    """What one request may take."""

    body_bytes: int
    pixels: int
    images: int
    formats: list[str]


class Model(BaseModel):
    """What is served."""

    name: str
    network: str | None
    precision: str
    classes: list[str]
    input: Input
    maps: bool
    metrics: dict[str, Any]
    licence: str | None
    examples: list[Example]
    limits: Allowed


def answer(classes: Sequence[str], name: str, look: Look, top: int, *, maps: bool) -> Answer:
    """Return the ``top`` likeliest classes of one image, and their maps if asked."""
    shares = probabilities(look.logits)
    best = numpy.argsort(-shares, kind="stable")[:top].tolist()
    guesses = [Guess(label=classes[i], index=i, probability=float(shares[i])) for i in best]
    if not maps:
        return Answer(image=name, guesses=guesses)
    found = None if look.maps is None else [rounded(look.maps[i]) for i in best[:MOST_MAPS]]
    return Answer(image=name, guesses=guesses, maps=found, seen=png(look.pixels))


def rounded(values: numpy.ndarray[Any, numpy.dtype[numpy.float32]]) -> list[list[float]]:
    """Return numbers with four digits: no eye sees more."""
    return [[float(f"{value:.4g}") for value in row] for row in values.tolist()]


def png(pixels: Pixels) -> str:
    """Return ``(channels, height, width)`` uint8 as a PNG in a data: address."""
    image = Image.fromarray(pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0))
    file = BytesIO()
    image.save(file, "PNG", compress_level=1)
    return "data:image/png;base64," + b64encode(file.getvalue()).decode("ascii")


def describe(bundle: Bundle, classes: Sequence[str], limits: Limits) -> Model:
    """Return what is said of a bundle."""
    rule = bundle.preprocessing
    height, width = rule.image_size
    return Model(
        name=words(bundle.name),
        network=bundle.network and words(bundle.network),
        precision=words(bundle.graph.precision),
        classes=list(classes),
        input=Input(channels=rule.channels, height=height, width=width, resize=rule.resize),
        maps=bundle.graph.maps is not None,
        metrics=json.loads(words(json.dumps(dict(bundle.metrics), ensure_ascii=False))),
        licence=bundle.licence and words(bundle.licence),
        examples=[
            Example(number=number, label=None if each.label is None else classes[each.label])
            for number, each in enumerate(bundle.golden)
        ],
        limits=Allowed(
            body_bytes=limits.body_bytes,
            pixels=limits.pixels,
            images=limits.images,
            formats=list(FORMATS),
        ),
    )


def words(text: str) -> str:
    """Return a text that can be sent: what a bundle says may hold half a character."""
    return text.encode("utf-8", "replace").decode("utf-8")


def refusal(refused: Refused) -> JSONResponse:
    """Return the answer to a request that is refused."""
    error: dict[str, Any] = {"kind": refused.kind, "message": refused.message, "images": None}
    if refused.problems:
        error["images"] = [vars(problem) for problem in refused.problems]
    return JSONResponse({"error": error}, refused.status, refused.headers)
