"""Manifests that break a rule or are strange as text; all languages must refuse them alike."""

import hashlib
import json
from pathlib import Path
from typing import Any

_FIXTURES = Path(__file__).parent / "fixtures"


def _cases(name: str) -> list[dict[str, Any]]:
    return list(json.loads((_FIXTURES / "manifests" / name).read_text("utf-8")))


TEXTS = _cases("texts.json")
BROKEN = _cases("invalid.json")


def change(data: dict[str, Any], case: dict[str, Any]) -> None:
    """Breaks the rule of one of ``BROKEN``."""
    *parents, last = case["key"].split(".")
    for name in parents:
        data = data[name]
    if "value" in case:
        data[last] = case["value"]
    else:
        del data[last]


def text_of(case: dict[str, Any]) -> bytes:
    """The tiny bundle's manifest with the case's value under a key that nobody asks for."""
    value = case.get("value", "1").encode("utf-8")
    if "nested" in case:  # as many arrays, inside of the manifest's own object
        value = b"[" * case["nested"] + b"]" * case["nested"]
    if "digits" in case:
        value = b"9" * case["digits"]
    if "bytes" in case:
        value = bytes.fromhex(case["bytes"])
    manifest = (_FIXTURES / "tiny_bundle" / "manifest.json").read_bytes()
    text = b'{"strange": ' + value + b"," + manifest.lstrip().removeprefix(b"{")
    if "encoding" in case:
        text = text.decode("utf-8").encode(case["encoding"])
    return bytes.fromhex(case.get("before", "")) + text + bytes.fromhex(case.get("after", ""))


def put_graph(folder: Path, name: str, graph: bytes) -> None:
    """Writes a graph of a bundle, a new one or in the place of the old, with its true checksum."""
    path = folder / "manifest.json"
    data = json.loads(path.read_text("utf-8"))
    entry = data["graphs"].setdefault(name, {"precision": "fp32", "external_data": []})
    digest = hashlib.sha256(graph).hexdigest()
    entry |= {"file": f"{name}.onnx", "size_bytes": len(graph), "sha256": digest}
    (folder / entry["file"]).write_bytes(graph)
    path.write_text(json.dumps(data), "utf-8")
