"""A linear probe says what codes tell of labels."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from tests.training.runs import clip, train, untrained_codec

from echoes_rt.errors import InputError
from echoes_training.cli import main
from echoes_training.data.index import Split, write_index
from echoes_training.presets import PRESETS

STAGE = PRESETS["tiny"].image_codec
SPLITS: tuple[Split, ...] = ("train", "train", "train", "validation")


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Dark and bright pictures."""
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    clips = []
    for label, level in (("dark", 0), ("bright", 200)):
        for number, split in enumerate(SPLITS):
            path = folder / f"{label}{number}.png"
            cv2.imwrite(str(path), rng.integers(level, level + 55, (32, 32, 3), dtype=np.uint8))
            clips.append(clip(image=str(path), label=label, split=split))
    write_index(folder / "index.jsonl", clips)
    return folder / "index.jsonl"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return untrained_codec(tmp_path_factory.mktemp("run"), STAGE)


def probe(*arguments: object) -> dict[str, object]:
    out = str(arguments[-1])
    train("probe", *arguments[:-1], "--out", out)
    figures: dict[str, object] = json.loads(Path(out).read_text("utf-8"))
    return figures


def test_codes_of_unlike_pictures_are_told_apart(index: Path, run: Path, tmp_path: Path) -> None:
    found = probe("--codec", run, "--index", index, tmp_path / "probe.json")
    assert found["accuracy"] == 1
    assert found["by_label"] == {"dark": 1, "bright": 1}
    assert found["n_pictures"] == 2
    assert 1 < float(str(found["code_perplexity"])) <= int(str(found["codes_used"])) <= 32
    assert 0 < float(str(found["pixel_error"])) < 255


def test_a_split_without_labels_is_refused(index: Path, run: Path) -> None:
    command = ["probe", "--codec", str(run), "--index", str(index), "--split", "heldout"]
    result = CliRunner().invoke(main, command)
    assert result.exit_code != 0
    assert "heldout" in (result.output + str(result.exception))
    assert isinstance(result.exception, InputError | SystemExit)
