"""Which files an ONNX graph reads besides itself, found without ONNX."""

from collections.abc import Iterator

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_FIXED_BYTES = {_FIXED64: 8, _FIXED32: 4}

_MAX_DEPTH = 100
"""As deep as protobuf itself reads."""

# Of onnx.proto: the fields of each message that lead to a tensor, and the message that they are.
_FIELDS: dict[str, dict[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {4: "operator", 5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {13: "entry"},
}
_KEY, _VALUE = 1, 2  # of an entry of a tensor's external_data


def external_locations(graph: bytes) -> set[str]:
    """The ``location`` of every tensor whose data lie outside of the file.

    Args:
        graph: the bytes of an ONNX file.

    Raises:
        ValueError: if they are not those of an ONNX model, or it has a node that reads files.
    """
    locations: set[str] = set()
    _visit(memoryview(graph), "model", locations, 0)
    return locations


def _visit(message: memoryview, kind: str, locations: set[str], depth: int) -> None:
    if depth > _MAX_DEPTH:
        raise ValueError(f"it is nested deeper than {_MAX_DEPTH} messages")
    inner = _FIELDS[kind]
    for number, part in _parts(message):
        below = inner.get(number)
        if below is None:
            continue
        if below == "entry":
            entry = dict(_parts(part))  # of a field that is given twice the last one counts
            if bytes(entry.get(_KEY, b"")) == b"location":
                locations.add(str(entry.get(_VALUE, b""), "utf-8"))
        elif below == "operator":
            if bytes(part) == b"EPContext":
                raise ValueError("it has a node EPContext, which may read any file")
        else:
            _visit(part, below, locations, depth + 1)


def _parts(message: memoryview) -> Iterator[tuple[int, memoryview]]:
    """The number and the bytes of each field that has bytes: a message, a string or raw data."""
    at, end = 0, len(message)
    while at < end:
        tag, at = _varint(message, at)
        kind = tag & 7
        if kind == _BYTES:
            size, at = _varint(message, at)
            if size <= end - at:
                yield tag >> 3, message[at : at + size]
            at += size
        elif kind == _VARINT:
            _, at = _varint(message, at)
        elif kind in _FIXED_BYTES:
            at += _FIXED_BYTES[kind]
        else:
            raise ValueError(f"a field has the unknown wire type {kind}")
    if at > end:
        raise ValueError("a field is longer than the file")


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    for byte in message[at : at + 10]:
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return value, at
        shift += 7
    raise ValueError("a number is cut off")
