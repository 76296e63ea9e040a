import json
import re
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.manifests import BROKEN, TEXTS, change, text_of

from echoes_rt.errors import BundleError, ManifestError
from echoes_rt.format.json_fields import parse_json
from echoes_rt.format.manifest import Manifest
from echoes_rt.format.schema import schema

Fresh = Callable[[], dict[str, Any]]


@pytest.mark.parametrize("case", BROKEN, ids=lambda case: f"{case['key']}={case.get('value', '')}")
def test_broken_rule_is_named(case: dict[str, Any], tiny_manifest: Fresh) -> None:
    data = tiny_manifest()
    change(data, case)
    with pytest.raises(ManifestError) as caught:
        Manifest.from_dict(data)
    assert str(caught.value).startswith(f"manifest key {case['names']} ")
    assert "\n" not in str(caught.value)


def test_manifest_survives_a_round_trip(tiny_bundle: Path, tmp_path: Path) -> None:
    manifest = Manifest.read(tiny_bundle / "manifest.json")
    manifest.write(tmp_path / "copy.json")
    assert Manifest.read(tmp_path / "copy.json") == manifest


def test_unknown_keys_are_allowed_everywhere_and_unknown_graphs_kept(tiny_manifest: Fresh) -> None:
    plain = Manifest.from_dict(tiny_manifest())
    data = tiny_manifest()
    for place in (data, data["image"], data["tokens"]["audio"], data["graphs"]["vocoder"]):
        place["from_the_future"] = {"a": 1}
    assert Manifest.from_dict(data) == plain
    data["graphs"]["fused"] = data["graphs"]["vocoder"]
    assert Manifest.from_dict(data).graphs["fused"].file == "vocoder.onnx"


def test_graphs_that_a_picture_s_sound_does_not_need_may_be_missing(tiny_manifest: Fresh) -> None:
    data = tiny_manifest()
    needed = set(schema()["properties"]["graphs"]["required"])
    data["graphs"] = {name: data["graphs"][name] for name in needed}
    assert set(Manifest.from_dict(data).graphs) == needed


def test_shared_weights_are_listed_once(tiny_manifest: Fresh) -> None:
    data = tiny_manifest()
    weights = {"file": "weights.bin", "sha256": "0" * 64, "size_bytes": 8}
    for entry in data["graphs"].values():
        entry["external_data"] = [weights]
    files = Manifest.from_dict(data).files
    assert len(files) == 1 + len(data["graphs"])
    assert files["weights.bin"].size_bytes == 8


@pytest.mark.parametrize("text", ["[1]", " " * (1 << 20) + "{}"], ids=["array", "large"])
def test_file_that_is_no_manifest_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    path.write_text(text, "utf-8")
    with pytest.raises(ManifestError, match=re.escape(f"{path}: ")):
        Manifest.read(path)


@pytest.mark.parametrize("case", TEXTS, ids=lambda case: str(list(case.items())[1:])[:60])
def test_texts_are_taken_and_refused_as_in_other_languages(
    case: dict[str, Any], tmp_path: Path
) -> None:
    path = tmp_path / "manifest.json"
    path.write_bytes(text_of(case))
    if case["is_read"]:
        assert Manifest.read(path).name == "echoes-tiny"
    else:
        with pytest.raises(ManifestError) as caught:
            Manifest.read(path)
        assert str(caught.value).startswith(f"{path}: ")
        assert str(caught.value).isprintable()
        assert len(str(caught.value)) < 400


def test_halves_of_a_surrogate_pair_are_named_by_their_key(tiny_manifest: Fresh) -> None:
    data = tiny_manifest()
    data["labels"] = {"dog": ["\ud800"]}
    with pytest.raises(ManifestError, match=r"manifest key labels\.dog\[0\] has half a surrogate"):
        parse_json(json.dumps(data).encode())
    with pytest.raises(ManifestError, match="surrogate") as caught:
        parse_json(json.dumps({"x" * 10_000: "\ud800"}).encode())
    assert len(str(caught.value)) < 400


def test_many_keys_are_compared_in_no_time() -> None:
    text = ",".join(f'"{i}":1' for i in [*range(50_000), 49_999])
    start = time.process_time()
    with pytest.raises(ManifestError, match='key "49999" appears twice'):
        parse_json(f"{{{text}}}".encode())
    assert time.process_time() - start < 3


@pytest.mark.parametrize("code", ["\x1b[31m", "\x9b31m", "\x7f", "a\x9b31m", "a\x85"])
def test_control_codes_are_no_part_of_a_text(code: str, tiny_manifest: Fresh) -> None:
    for key in ("license", "created_by", "description"):
        data = tiny_manifest()
        data[key] = code
        with pytest.raises(ManifestError, match=f"manifest key {key} must be"):
            Manifest.from_dict(data)


def test_names_of_unknown_keys_are_shown_harmlessly(tiny_manifest: Fresh) -> None:
    data = tiny_manifest()
    data["graphs"]["\x1b]0;title\x07" + "x" * 10_000] = data["graphs"]["vocoder"]
    with pytest.raises(ManifestError) as caught:
        Manifest.from_dict(data)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400


def test_missing_file_is_a_bundle_error(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="cannot be read: No such file or directory"):
        Manifest.read(tmp_path / "manifest.json")


def test_number_too_large_for_a_float_is_refused(tiny_manifest: Fresh) -> None:
    data = tiny_manifest()
    for value in (10**400, float("inf")):
        data["mel"]["f_min"] = value
        with pytest.raises(ManifestError, match=r"mel.f_min must be a number in \[0, 192000\]"):
            Manifest.from_dict(data)


def test_writer_refuses_what_a_reader_would(tiny_bundle: Path, tmp_path: Path) -> None:
    manifest = Manifest.read(tiny_bundle / "manifest.json")
    with pytest.raises(ManifestError, match="manifest key name must be"):
        replace(manifest, name="No Name").write(tmp_path / "manifest.json")
    assert not (tmp_path / "manifest.json").exists()
