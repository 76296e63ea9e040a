"""What the codes of pictures tell: of their labels, and of what has no label."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from click.testing import Result
from tests.training.runs import clip, invoke, train, untrained_codec

from echoes_rt.errors import InputError
from echoes_training.data.image import ImageStore
from echoes_training.data.index import read_index, write_index
from echoes_training.presets import PRESETS
from echoes_training.stages.codecs import codec_of_run
from echoes_training.stages.confidence import load_confidence
from echoes_training.stages.picture_codes import codes_of

STAGE = PRESETS["tiny"].image_codec
COLOURS = {
    "dark": (0, 0, 0),
    "bright": (200, 200, 200),
    "blue": (200, 0, 0),
    "green": (0, 200, 0),
    "red": (0, 0, 200),
    "teal": (200, 200, 0),
}
LABELLED = ("dark", "bright")


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two labels, and four categories without one, of which the third is spared."""
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    clips = []
    for category, colour in COLOURS.items():
        for number in range(8):
            path = folder / f"{category}{number}.png"
            noise = rng.integers(0, 55, (32, 32, 3), dtype=np.uint8)
            cv2.imwrite(str(path), noise + np.array(colour, np.uint8))
            clips.append(
                clip(
                    image=str(path),
                    label=category if category in LABELLED else None,
                    category=category,
                    split="validation" if number % 4 == 3 else "train",
                )
            )
    write_index(folder / "index.jsonl", clips)
    return folder / "index.jsonl"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return untrained_codec(tmp_path_factory.mktemp("run"), STAGE)


def fit(run: Path, index: Path, out: Path) -> Result:
    command = ("confidence", "--codec", run, "--index", index, "--out", out)
    return invoke(*command, "--views", 1)


def test_the_threshold_lies_between_what_has_a_label_and_what_has_none(
    index: Path, run: Path, tmp_path: Path
) -> None:
    out = tmp_path / "confidence.safetensors"
    result = fit(run, index, out)
    assert result.exit_code == 0, result.output
    assert [line.split()[2] for line in result.output.splitlines()] == ["4", "6", "2"]
    head, codebook = load_confidence(out)
    codec = codec_of_run(run)
    np.testing.assert_array_equal(codebook, codec.model.codebook.numpy())
    asked = [c for c in read_index(index) if c.split == "validation" and c.category != "red"]
    codes = codes_of(codec, asked, ImageStore(codec.image))
    found = head(codec.model.summary(codes))
    known = torch.tensor([clip.label is not None for clip in asked])
    # The threshold is the 5 % quantile of these four, so that it lies above the least one.
    assert sorted((found[known] >= 0.5).tolist()) == [False, True, True, True]
    assert found[~known].max() < found[known].min()


@pytest.mark.parametrize("is_labelled", [True, False])
def test_an_index_of_one_kind_of_picture_is_refused(
    index: Path, run: Path, tmp_path: Path, is_labelled: bool
) -> None:
    clips = [c for c in read_index(index) if (c.label is not None) == is_labelled]
    write_index(tmp_path / "index.jsonl", clips)
    result = fit(run, tmp_path / "index.jsonl", tmp_path / "confidence.safetensors")
    assert result.exit_code == 1
    assert f"with{'out' if is_labelled else ''} a label" in result.output
    assert not (tmp_path / "confidence.safetensors").exists()


def test_another_file_is_no_confidence(tmp_path: Path) -> None:
    (tmp_path / "other.safetensors").write_bytes(b"other")
    with pytest.raises(InputError, match="echoes-train confidence"):
        load_confidence(tmp_path / "other.safetensors")


def test_a_linear_probe_tells_labels_apart(index: Path, run: Path, tmp_path: Path) -> None:
    out = tmp_path / "probe.json"
    train("probe", "--codec", run, "--index", index, "--out", out)
    found = json.loads(out.read_text("utf-8"))
    assert found["accuracy"] == 1
    assert found["by_label"] == {"dark": 1, "bright": 1}
    assert found["n_pictures"] == 4
    assert 1 < found["code_perplexity"] <= found["codes_used"] <= 32
    assert 0 < found["pixel_error"] < 255


def test_a_split_without_labels_has_no_probe(index: Path, run: Path) -> None:
    result = invoke("probe", "--codec", run, "--index", index, "--split", "heldout")
    assert result.exit_code == 1
    assert "heldout" in result.output
