"""Manifests that are strange as text, which all languages must take and refuse alike."""

import json
from pathlib import Path
from typing import Any

_FIXTURES = Path(__file__).parent / "fixtures"
CASES: list[dict[str, Any]] = json.loads(
    (_FIXTURES / "manifests" / "texts.json").read_text("utf-8")
)


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
