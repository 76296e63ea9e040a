"""A bundle's graphs read no file that its manifest does not list."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.manifests import put_graph

from echoes_rt.bundle import Bundle
from echoes_rt.errors import BundleError
from echoes_rt.format.external_data import external_locations


def field(number: int, *parts: bytes) -> bytes:
    """A field of protobuf that holds a message or text, of up to 16,383 bytes."""
    data = b"".join(parts)
    size = bytes([len(data) & 0x7F | 0x80, len(data) >> 7])  # longer than need be, as is allowed
    tag = number << 3 | 2
    return (bytes([tag]) if tag < 0x80 else bytes([tag & 0x7F | 0x80, tag >> 7])) + size + data


def outside(location: bytes) -> bytes:
    """A TensorProto of one float that lies in another file."""
    entry = field(13, field(2, location), field(1, b"location"))
    return b"\x08\x01\x10\x01" + field(8, b"w") + entry + b"\x70\x01"


def node(*parts: bytes) -> bytes:
    return field(1, field(4, b"Constant"), *parts)


TENSOR = outside(b"/etc/passwd")
IN_A_GRAPH = field(5, TENSOR)

PLACES = {
    "initializer": field(7, IN_A_GRAPH),
    "sparse values": field(7, field(15, field(1, TENSOR))),
    "sparse indices": field(7, field(15, field(2, TENSOR))),
    "attribute": field(7, node(field(5, field(5, TENSOR)))),
    "list of an attribute": field(7, node(field(5, field(10, TENSOR)))),
    "sparse attribute": field(7, node(field(5, field(22, field(1, TENSOR))))),
    "list of sparse": field(7, node(field(5, field(23, field(1, TENSOR))))),
    "body": field(7, node(field(5, field(6, IN_A_GRAPH)))),
    "list of bodies": field(7, node(field(5, field(11, IN_A_GRAPH)))),
    "body of a body": field(7, node(field(5, field(6, node(field(5, field(6, IN_A_GRAPH))))))),
    "function": field(25, field(7, field(5, field(5, TENSOR)))),
    "default of a function": field(25, field(11, field(5, TENSOR))),
    "training": field(20, field(2, IN_A_GRAPH)),
    "second part of the graph": field(7, field(2, b"name")) + field(7, IN_A_GRAPH),
}


@pytest.mark.parametrize("place", PLACES)
def test_external_data_are_found_everywhere(place: str) -> None:
    assert external_locations(PLACES[place]) == {"/etc/passwd"}


def test_real_graphs_name_their_weights(tiny_bundle: Path) -> None:
    for graph in tiny_bundle.glob("*.onnx"):
        weights = set() if graph.stem == "log_mel" else {"weights.safetensors"}
        assert external_locations(graph.read_bytes()) == weights


@pytest.mark.parametrize(
    "data",
    [
        b"hello, I am not a graph",
        field(7, b"\x0b"),  # a group, which ONNX has none of
        field(7, IN_A_GRAPH)[:-9],
        b"\xff" * 20,
        field(7, IN_A_GRAPH) + b"\x09",
        field(7, field(5, outside(b"\xff"))),
        field(7, field(1, field(4, b"EPContext"))),
    ],
)
def test_what_is_no_graph_of_ours_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        external_locations(data)


def test_nesting_is_bounded() -> None:
    message = b""
    for _ in range(120):
        message = node(field(5, field(6, message)))
    with pytest.raises(ValueError, match="nested deeper than 100"):
        external_locations(field(7, message))


@pytest.fixture
def changed(copy: Path) -> Callable[[bytes], Path]:
    """The tiny bundle with more in its vocoder; every size and checksum is right."""

    def make(more: bytes) -> Path:
        (copy / "secret.bin").write_bytes(b"1234")
        put_graph(copy, "vocoder", (copy / "vocoder.onnx").read_bytes() + more)
        return copy

    return make


@pytest.mark.parametrize(
    "location",
    [
        b"/etc/passwd",
        b"../other.bin",
        b"secret.bin",  # inside of the folder, but not listed
        b"./weights.safetensors",
        b"manifest.json",
        b"*/_ORT_MEM_ADDR_/*",  # ONNX Runtime's own: an address in memory
        b"",
        b"\x1b]0;x\x07",
    ],
)
def test_bundle_that_reads_another_file_is_refused(
    location: bytes, changed: Callable[[bytes], Path]
) -> None:
    folder = changed(field(7, field(5, outside(location))))
    with pytest.raises(BundleError, match=r"vocoder\.onnx .* reads the file .* not list") as caught:
        Bundle.open(folder)
    assert str(caught.value).isprintable()


def test_listed_files_may_be_read(changed: Callable[[bytes], Path]) -> None:
    Bundle.open(changed(field(7, field(5, outside(b"weights.safetensors")))))


def test_graph_of_a_folder_names_files_beside_it(copy: Path) -> None:
    folder = copy
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    for place in ("weights.safetensors", "inner/weights.safetensors"):
        entry = manifest["graphs"]["vocoder"] | {"file": "inner/vocoder.onnx"}
        entry["external_data"] = [entry["external_data"][0] | {"file": place}]
        (folder / "inner").mkdir(exist_ok=True)
        for name in ("vocoder.onnx", "weights.safetensors"):
            shutil.copy(folder / name, folder / "inner" / name)
        data = manifest | {"graphs": manifest["graphs"] | {"vocoder": entry}}
        (folder / "manifest.json").write_text(json.dumps(data), "utf-8")
        if place.startswith("inner"):
            Bundle.open(folder)
        else:
            with pytest.raises(BundleError, match="not list"):
                Bundle.open(folder)
