"""In which precision a CPU computes: what is asked for, what the bundle has, what pays."""

import ctypes
import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from tests.runtime.commands import refused, runner

from echoes_rt.backends import precision
from echoes_rt.backends.precision import int8_feature, with_precision
from echoes_rt.backends.select import DeviceChoice
from echoes_rt.bundle import Bundle
from echoes_rt.errors import InputError
from echoes_rt.model import Model

CPU = DeviceChoice(device="cpu", reason="asked for")


@pytest.fixture
def int8_bundle(copy: Path) -> Path:
    """With a graph that is int8 by its name alone: it is the same graph."""
    manifest = json.loads((copy / "manifest.json").read_text("utf-8"))
    graphs = manifest["graphs"]
    graphs["context_image_int8"] = graphs["context_image"] | {"precision": "int8"}
    (copy / "manifest.json").write_text(json.dumps(manifest), "utf-8")
    return copy


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("flags\t\t: fpu sse4_2 avx avx2 fma avx512_vnni\n", "AVX2"),
        ("Features\t: fp asimd asimdhp asimddp\n", "Arm's dot products"),
        ("flags\t\t: fpu sse4_2 avx\nmodel name: avx2-less\n", None),
        (None, None),
    ],
)
def test_linux_tells_in_a_file(
    text: str | None, expected: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    if text is not None:
        (tmp_path / "cpuinfo").write_text(text)
    assert int8_feature(tmp_path / "cpuinfo") == expected


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        ({b"hw.optional.avx2_0": 0, b"hw.optional.arm.FEAT_DotProd": 1}, "Arm's dot products"),
        ({b"hw.optional.avx2_0": 1}, "AVX2"),
        ({}, None),
    ],
)
def test_macos_is_asked_by_name(
    known: dict[bytes, int], expected: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sysctlbyname(name: bytes, value: Any, *_: object) -> int:
        if name not in known:
            return -1
        value._obj.value = known[name]
        return 0

    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(ctypes, "CDLL", lambda _: SimpleNamespace(sysctlbyname=sysctlbyname))
    assert int8_feature() == expected


@pytest.mark.parametrize(("number", "expected"), [(40, "AVX2"), (43, "Arm's dot products")])
def test_windows_is_asked_by_number(
    number: int, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel = SimpleNamespace(IsProcessorFeaturePresent=lambda asked: int(asked == number))
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(ctypes, "windll", SimpleNamespace(kernel32=kernel), raising=False)
    assert int8_feature() == expected


def test_auto_is_int8_where_it_pays(
    int8_bundle: Path, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "int8_feature", lambda: "AVX2")
    with_graphs, without = Bundle.open(int8_bundle), Bundle.open(tiny_bundle)
    choice = with_precision(CPU, "auto", with_graphs)
    assert (choice.precision, choice.reason) == ("int8", "asked for; int8: this processor has AVX2")
    assert with_precision(CPU, "auto", without).precision == "fp32"
    gpu = DeviceChoice(device="cuda:0", reason="CUDA starts")
    assert with_precision(gpu, "auto", with_graphs).precision == "fp32"
    monkeypatch.setattr(precision, "int8_feature", lambda: None)
    assert with_precision(CPU, "auto", with_graphs).precision == "fp32"
    # Who asks for it gets it.
    assert with_precision(CPU, "int8", with_graphs).precision == "int8"


def test_int8_runs_where_it_is_chosen_alone(int8_bundle: Path) -> None:
    usual, chosen = Model.load(int8_bundle, "cpu"), Model.load(int8_bundle, "cpu", None, "int8")
    assert usual.variant("context_image") == "context_image"
    assert usual.precision("context_image") == "fp32"
    assert chosen.variant("context_image") == "context_image_int8"
    assert chosen.precision("context_image") == "int8"
    assert chosen.precision("vocoder") == "fp32"
    codes = np.zeros((1, chosen.manifest.tokens.image.n_tokens), dtype=np.int32)
    np.testing.assert_array_equal(usual.context("audio", codes), chosen.context("audio", codes))


@pytest.mark.parametrize("asked", ["fp32", "auto", "int8"])
def test_a_bundle_in_int8_alone_is_that(
    int8_bundle: Path, asked: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = json.loads((int8_bundle / "manifest.json").read_text("utf-8"))
    manifest["graphs"]["context_image"] = manifest["graphs"].pop("context_image_int8")
    (int8_bundle / "manifest.json").write_text(json.dumps(manifest), "utf-8")
    monkeypatch.setattr(precision, "int8_feature", lambda: None)
    model = Model.load(int8_bundle, "cpu", precision=asked)
    assert model.choice.precision == "int8"
    assert [model.precision(name) for name in ("context_image", "vocoder")] == ["int8", "fp32"]
    assert precision.automatic(CPU, model.bundle)[0] == "int8"


@pytest.mark.parametrize("asked", ["int8", "fp16"])
def test_what_cannot_be_had_is_an_error(tiny_bundle: Path, asked: str) -> None:
    with pytest.raises(InputError):
        Model.load(tiny_bundle, "cpu", precision=asked)


def test_doctor_says_what_auto_takes(
    int8_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "int8_feature", lambda: "AVX2")
    run = runner(int8_bundle, tmp_path, monkeypatch)
    report = json.loads(run("doctor", "--json").stdout)
    if report["device"] == "cpu":
        assert report["auto_precision"] == "int8"
        assert "precision auto: int8 (this processor has AVX2)" in run("doctor").stdout
    else:
        assert report["auto_precision"] == "fp32"


def test_a_command_runs_in_it_or_says_why_not(
    int8_bundle: Path, tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = runner(int8_bundle, tmp_path, monkeypatch)
    cv2.imwrite(str(tmp_path / "in.png"), np.full((9, 9, 3), 99, np.uint8))
    asked = ("generate", "in.png", "out.wav", "--device", "cpu", "--precision", "int8")
    assert run(*asked).exit_code == 0
    refused(run(*asked, "--bundle", tiny_bundle), "has no int8 graphs")
