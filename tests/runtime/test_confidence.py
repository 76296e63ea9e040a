"""A bundle may tell whether a picture shows what it knows."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from tests.runtime.commands import Run, runner

from echoes_rt import BundleError, Echoes, Sound


@pytest.fixture
def echoes(confident_bundle: Path) -> Echoes:
    return Echoes.load(confident_bundle, device="cpu")


@pytest.fixture
def pictures(echoes: Echoes, tmp_path: Path) -> dict[str, Path]:
    """Of a low and of a high confidence."""
    rng = np.random.default_rng(0)
    found = {}
    for number in range(40):
        path = tmp_path / f"{number}.png"
        cv2.imwrite(str(path), np.full((32, 32, 3), rng.integers(0, 256, 3), np.uint8))
        confidence = echoes.encode_image(path).mean() / 32
        if abs(confidence - 0.5) > 0.02:
            found["high" if confidence > 0.5 else "low"] = path
    assert set(found) == {"low", "high"}
    return found


@pytest.fixture
def run(confident_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    return runner(confident_bundle, tmp_path, monkeypatch)


def test_a_sound_says_how_well_its_picture_is_known(
    echoes: Echoes, pictures: dict[str, Path]
) -> None:
    for made in echoes.generate_many([pictures["low"]], count=2)[0]:
        assert isinstance(made, Sound)
        expected = echoes.encode_image(pictures["low"]).mean() / 32
        assert made.confidence == pytest.approx(expected)


def test_without_the_graph_nothing_is_said(tiny_bundle: Path, picture: Path) -> None:
    echoes = Echoes.load(tiny_bundle, device="cpu")
    assert echoes.image_to_audio(picture).confidence is None


@pytest.mark.parametrize("output", [np.full(1, np.nan, np.float32), np.zeros((1, 1), np.float32)])
def test_a_wrong_confidence_is_one_sentence(
    output: np.ndarray, echoes: Echoes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(echoes.session("confidence"), "run", lambda _: {"confidence": output})
    with pytest.raises(BundleError, match="the confidence of bundle echoes-tiny"):
        echoes.confidence(np.zeros((1, 16), np.int32))


@pytest.mark.parametrize("more", [(), ("--count", 2), ("--duration", 0.2)])
def test_generate_warns_of_a_guess(
    more: tuple[object, ...], run: Run, pictures: dict[str, Path]
) -> None:
    result = run("generate", pictures["low"], "out.wav", *more)
    assert result.exit_code == 0
    (line,) = result.stderr.splitlines()
    assert str(pictures["low"]) in line
    assert "confidence 0." in line
    assert "echoes-rt info" in line
    assert run("generate", pictures["high"], "out.wav", *more).stderr == ""
    assert run("generate", pictures["low"], "out.wav", "--quiet", *more).stderr == ""


def test_json_holds_the_confidence(run: Run, pictures: dict[str, Path]) -> None:
    shares = {}
    for name, path in pictures.items():
        result = run("generate", path, "out.wav", "--json")
        shares[name] = json.loads(result.stdout)["confidence"]
        assert ("confidence" in result.stderr) == (name == "low")
    assert 0 <= shares["low"] < 0.5 < shares["high"] <= 1
