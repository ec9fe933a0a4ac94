"""What a bundle says of itself: ``manifest.json`` and ``golden.json``, format 1."""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args

from convsmith_runtime.decode import Resize
from convsmith_runtime.errors import BundleError

__all__ = [
    "FORMAT",
    "Golden",
    "Graph",
    "Manifest",
    "Member",
    "Preprocessing",
    "parse_golden",
    "parse_manifest",
    "require_name",
    "to_json",
]

FORMAT = 1
NAME = re.compile(r"(golden/)?[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
SHA256 = re.compile(r"[0-9a-f]{64}")
MOST_CLASSES = 100_000
MOST_PIXELS = 2**24  # of one image that the network takes
MOST_SAMPLES = 64


@dataclass(frozen=True)
class Member:
    """One file of the bundle, its SHA-256 in hexadecimal and its size."""

    name: str
    sha256: str
    bytes: int


@dataclass(frozen=True)
class Preprocessing:
    """How an image file becomes what the network takes; ``image_size`` is (height, width)."""

    channels: int
    image_size: tuple[int, int]
    resize: Resize


@dataclass(frozen=True)
class Graph:
    """The network's file: its precision, opset, and what its input and outputs are called."""

    file: str
    precision: str
    opset: int
    input: str
    output: str
    maps: str | None


@dataclass(frozen=True)
class Golden:
    """One image with what the network said of it when it was exported; ``data`` is the file."""

    name: str
    data: bytes
    label: int | None
    logits: tuple[float, ...]


@dataclass(frozen=True)
class Manifest:
    """The content of ``manifest.json``; ``graph`` is its ``model``.

    ``tolerance`` is the largest difference of a logit that replaying the golden samples may show.
    """

    name: str
    created: str
    convsmith: str
    network: str | None
    classes: tuple[str, ...]
    preprocessing: Preprocessing
    graph: Graph
    tolerance: float
    metrics: Mapping[str, Any]
    recipe: str
    licence: str | None
    members: tuple[Member, ...]


def parse_manifest(text: bytes) -> Manifest:
    """Return the manifest that a JSON text holds.

    Raises:
        BundleError: it is not one, or of another format.
    """
    found = load(text, "manifest.json")
    if not isinstance(found, dict):
        raise BundleError("manifest.json holds no object")
    if found.get("format") != FORMAT:
        given = found.get("format")
        raise BundleError(f"the bundle has format {given!r:.20}; this version reads {FORMAT}")
    tolerance = float(take(found, "tolerance", int, float))
    if not 0 <= tolerance < math.inf:
        raise BundleError("manifest.json: tolerance must be 0 or more")
    return Manifest(
        name=take(found, "name", str),
        created=take(found, "created", str),
        convsmith=take(found, "convsmith", str),
        network=take(found, "network", str, type(None)),
        classes=parse_classes(take(found, "classes", list)),
        preprocessing=parse_preprocessing(take(found, "preprocessing", dict)),
        graph=parse_graph(take(found, "model", dict)),
        tolerance=tolerance,
        metrics=take(found, "metrics", dict),
        recipe=take(found, "recipe", str),
        licence=take(found, "licence", str, type(None)),
        members=parse_members(take(found, "members", dict)),
    )


def parse_classes(names: list[Any]) -> tuple[str, ...]:
    """Return the names of the classes."""
    if not 1 <= len(names) <= MOST_CLASSES or not all(isinstance(each, str) for each in names):
        raise BundleError(f"manifest.json: classes must be 1 to {MOST_CLASSES:,} names")
    if len(set(names)) < len(names):
        raise BundleError("manifest.json: two classes have the same name")
    return tuple(names)


def parse_preprocessing(found: dict[str, Any]) -> Preprocessing:
    """Return the rule of preprocessing."""
    channels, size = take(found, "channels", int), take(found, "image_size", list)
    resize = take(found, "resize", str)
    if channels not in (1, 3):
        raise BundleError(f"manifest.json: channels must be 1 or 3, not {channels}")
    if len(size) != 2 or not all(type(side) is int and side > 0 for side in size):
        raise BundleError("manifest.json: image_size must be [height, width]")
    if size[0] * size[1] > MOST_PIXELS:
        raise BundleError(f"manifest.json: images of {size[0]}x{size[1]} pixels are too large")
    if resize not in get_args(Resize):
        raise BundleError(f"manifest.json: resize must be one of {', '.join(get_args(Resize))}")
    return Preprocessing(channels, (size[0], size[1]), resize)


def parse_graph(found: dict[str, Any]) -> Graph:
    """Return what is said of the network's file."""
    return Graph(
        file=require_name(take(found, "file", str)),
        precision=take(found, "precision", str),
        opset=take(found, "opset", int),
        input=take(found, "input", str),
        output=take(found, "output", str),
        maps=take(found, "maps", str, type(None)),
    )


def parse_members(found: dict[str, Any]) -> tuple[Member, ...]:
    """Return the list of files."""
    members = []
    for name, about in found.items():
        if not isinstance(about, dict):
            raise BundleError("manifest.json: members must map names to sha256 and bytes")
        digest, size = take(about, "sha256", str), take(about, "bytes", int)
        if not SHA256.fullmatch(digest) or size < 0:
            raise BundleError(f"manifest.json: {name!r:.60} has no valid sha256 and bytes")
        members.append(Member(require_name(name), digest, size))
    return tuple(members)


def parse_golden(text: bytes, classes: int) -> list[tuple[str, int | None, tuple[float, ...]]]:
    """Return (image's name, label, logits) of each golden sample in ``golden.json``.

    Raises:
        BundleError: it holds something else.
    """
    found = load(text, "golden.json")
    if not isinstance(found, list) or len(found) > MOST_SAMPLES:
        raise BundleError(f"golden.json must be a list of at most {MOST_SAMPLES} samples")
    samples = []
    for each in found:
        if not isinstance(each, dict):
            raise BundleError("golden.json: a sample must be an object")
        image = take(each, "image", str, where="golden.json")
        label = take(each, "label", int, type(None), where="golden.json")
        logits = take(each, "logits", list, where="golden.json")
        if not image.startswith("golden/"):
            raise BundleError("golden.json: images lie in golden/")
        if label is not None and not 0 <= label < classes:
            raise BundleError(f"golden.json: there is no class {label}")
        if len(logits) != classes or not all(type(each) in (int, float) for each in logits):
            raise BundleError("golden.json: logits must be one number a class")
        samples.append((image, label, tuple(map(float, logits))))
    return samples


def load(text: bytes, name: str) -> Any:
    """Return what a JSON text holds; NaN, infinity and what no float holds are no numbers of it."""

    def refuse(word: str) -> None:
        raise ValueError(word)

    def finite(word: str) -> float:
        value = float(word)
        if math.isinf(value):
            raise BundleError(f"{name}: the number {word:.20} is too large")
        return value

    def whole(word: str) -> int:
        finite(word)
        return int(word)

    try:
        return json.loads(text, parse_constant=refuse, parse_float=finite, parse_int=whole)
    except BundleError:
        raise
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{name} is not JSON") from error


def take(found: dict[str, Any], key: str, *kinds: type, where: str = "manifest.json") -> Any:
    """Return a value of one of the given types; true is no number."""
    if key not in found:
        raise BundleError(f"{where} does not say {key!r}")
    if type(found[key]) not in kinds:
        raise BundleError(f"{where}: {key} is of a wrong type")
    return found[key]


def require_name(name: str) -> str:
    """Return a member's name.

    Raises:
        BundleError: it is none that a bundle may hold.
    """
    if not NAME.fullmatch(name):
        raise BundleError(f"no file of a bundle may be called {name!r:.60}")
    return name


def to_json(manifest: Manifest) -> str:
    """Return the text of ``manifest.json``."""
    preprocessing, graph = manifest.preprocessing, manifest.graph
    value = {
        "format": FORMAT,
        "name": manifest.name,
        "created": manifest.created,
        "convsmith": manifest.convsmith,
        "network": manifest.network,
        "classes": list(manifest.classes),
        "preprocessing": {
            "channels": preprocessing.channels,
            "image_size": list(preprocessing.image_size),
            "resize": preprocessing.resize,
        },
        "model": vars(graph),
        "tolerance": manifest.tolerance,
        "metrics": dict(manifest.metrics),
        "recipe": manifest.recipe,
        "licence": manifest.licence,
        "members": {
            each.name: {"sha256": each.sha256, "bytes": each.bytes} for each in manifest.members
        },
    }
    return json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False) + "\n"
