"""Looking into an ONNX file for what must not be loaded, without loading it.

ONNX Runtime reads tensors that a file declares as external from whatever path it names, and a loop
need not end. Networks that convsmith writes have neither, so that one that does is refused. The
file is walked as what it is, a protobuf message, by the field numbers of ``onnx.proto``.
"""

from collections.abc import Iterator

from convsmith_runtime.errors import BundleError

__all__ = ["require_harmless"]

MOST_FIELDS = 5_000_000
DEEPEST = 32

# Loops and branches, and nodes that hold a program for other hardware, perhaps in another file.
REFUSED = frozenset({b"Loop", b"Scan", b"If", b"SequenceMap", b"EPContext", b"PyOp"})
DOMAINS = frozenset({b"", b"ai.onnx", b"com.microsoft"})

# message -> field -> the message in it; of all others nothing is looked at.
MESSAGES = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {
        **{5: "tensor", 6: "graph", 10: "tensor", 11: "graph"},
        **{22: "sparse", 23: "sparse"},
    },
    "sparse": {1: "tensor", 2: "tensor"},
}
OP_TYPE, DOMAIN = 4, 7  # of a node
EXTERNAL_DATA, DATA_LOCATION = 13, 14  # of a tensor


def require_harmless(model: bytes) -> None:
    """Raise BundleError if an ONNX file refers to other files or to code, may not end, or is none.

    Only bytes are compared; no value in the file is used.
    """
    if model[4:8] == b"ORTM":  # ONNX Runtime's own format, which it recognises by this
        raise BundleError("the network is no ONNX file")
    left = MOST_FIELDS
    waiting = [("model", memoryview(model), 0)]
    while waiting:
        kind, message, depth = waiting.pop()
        if depth > DEEPEST:
            raise BundleError("the network is nested too deeply")
        for field, value in fields(message):
            left -= 1
            if left < 0:
                raise BundleError("the network has too many parts")
            require_harmless_field(kind, field, value)
            inner = MESSAGES.get(kind, {}).get(field)
            if inner is not None and isinstance(value, memoryview):
                waiting.append((inner, value, depth + 1))


def require_harmless_field(kind: str, field: int, value: int | memoryview) -> None:
    """Raise BundleError if one field says something that must not be."""
    if kind == "tensor" and (field == EXTERNAL_DATA or (field == DATA_LOCATION and value != 0)):
        raise BundleError("the network keeps weights in other files; it is not opened")
    if kind == "node" and field == OP_TYPE and bytes_of(value) in REFUSED:
        raise BundleError(f"the network has a node {bytes_of(value).decode()!r}; it is not opened")
    if kind == "node" and field == DOMAIN and bytes_of(value) not in DOMAINS:
        raise BundleError("the network needs operations that are not ONNX's; it is not opened")


def bytes_of(value: int | memoryview) -> bytes:
    """Return a field's text, of which names are short."""
    return bytes(value[:64]) if isinstance(value, memoryview) else b""


def fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Yield (number, value) of a message's fields; the value of a fixed-width one is 0.

    Raises:
        BundleError: it is cut off or no protobuf message.
    """
    place, end = 0, len(message)
    while place < end:
        key, place = varint(message, place)
        if key >= 2**32:  # readers drop what is above, and would see another field
            raise BundleError("the network is no ONNX file")
        field, wire = key >> 3, key & 7
        value: int | memoryview = 0
        if wire == 0:
            value, place = varint(message, place)
        elif wire == 2:
            size, place = varint(message, place)
            value = message[place : place + size]
            place += size
        elif wire in (1, 5):
            place += 8 if wire == 1 else 4
        else:
            raise BundleError("the network is no ONNX file")
        if place > end:
            raise BundleError("the network is cut off")
        yield field, value


def varint(message: memoryview, place: int) -> tuple[int, int]:
    """Return the number that begins at ``place``, and where the next thing begins."""
    value = 0
    for shift in range(0, 70, 7):
        if place >= len(message):
            raise BundleError("the network is cut off")
        byte = message[place]
        place += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, place
    raise BundleError("the network is no ONNX file")
