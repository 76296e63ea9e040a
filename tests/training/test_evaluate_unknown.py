"""The table of photographs unlike the training set."""

import dataclasses
from pathlib import Path

import cv2
import numpy as np
import pytest

from echoes_rt import Echoes
from echoes_rt.format.sampling import SamplingOptions
from echoes_training.data.index import Clip, Split, read_index
from echoes_training.evaluate.ear import Ear
from echoes_training.evaluate.evaluation import EvaluateConfig, Evaluation
from echoes_training.evaluate.judge import ClassifierConfig
from echoes_training.evaluate.table import tables
from echoes_training.evaluate.tasks import unknown_scores

CONFIG = EvaluateConfig(
    parts=("unknown",),
    pictures_per_label=2,
    threads=1,
    classifier=ClassifierConfig(width=4, embedding_dim=4, steps=4, batch_size=8),
)
SPLITS: tuple[Split, ...] = ("train", "validation", "heldout", "heldout", "heldout")


@pytest.fixture
def clips(media_index: Path, tmp_path: Path) -> list[Clip]:
    """The small world, and two categories of pictures that no label uses."""
    clips, rng = read_index(media_index), np.random.default_rng(0)
    for category in ("anchor", "wrench"):
        for number, split in enumerate(SPLITS):
            path = tmp_path / f"{category}{number}.png"
            cv2.imwrite(str(path), np.full((32, 32, 3), rng.integers(0, 256, 3), np.uint8))
            picture = next(clip for clip in clips if clip.image)
            strange = {"image": str(path), "label": None, "category": category, "split": split}
            clips.append(dataclasses.replace(picture, **strange, recording=path.name))
    return clips


def evaluation_of(
    bundle: Path, clips: list[Clip], cache: Path, ear: Ear | None = None, split: Split = "heldout"
) -> Evaluation:
    config = dataclasses.replace(CONFIG, split=split)
    echoes = Echoes.load(bundle, "cpu", threads=1)
    return Evaluation(echoes, clips, cache, SamplingOptions(), config, ear)


def test_strange_pictures_are_counted_beside_known_ones(
    confident_bundle: Path, clips: list[Clip], tmp_path: Path, ear_folder: Path
) -> None:
    evaluation = evaluation_of(confident_bundle, clips, tmp_path, Ear(ear_folder))
    scores = unknown_scores(evaluation)
    called = scores["called_unknown"]
    assert isinstance(called, dict)
    assert list(called) == ["train", "validation", "heldout"]
    assert [found["known"]["n"] for found in called.values()] == [4, 2, 2]
    assert [found["others"]["n"] for found in called.values()] == [2, 2, 4]  # two of a category
    for label, share in called["heldout"]["known"]["by_name"].items():
        asked = [c for c in clips if (c.label, c.split) == (label, "heldout") and c.image]
        codes = [evaluation.echoes.encode_image(str(clip.image)) for clip in asked]
        assert share == np.mean([row.mean() / 32 < 0.5 for row in codes])
    heard = scores["heard"]
    assert isinstance(heard, dict)
    assert (heard["by"], heard["n"]) == ("ear", 4)
    assert sum(heard["counts"].values()) == 4
    assert {*heard["counts"]} <= {"hum", "hiss", "nothing"}


def test_before_the_report_nobody_looks_at_held_out_pictures(
    confident_bundle: Path, clips: list[Clip], tmp_path: Path
) -> None:
    scores = unknown_scores(evaluation_of(confident_bundle, clips, tmp_path, split="validation"))
    called, heard = scores["called_unknown"], scores["heard"]
    assert isinstance(called, dict)
    assert isinstance(heard, dict)
    assert list(called) == ["train", "validation"]
    assert (heard["by"], heard["n"]) == ("judge", 2)


def test_a_bundle_that_cannot_tell_has_no_shares(
    tiny_bundle: Path, clips: list[Clip], tmp_path: Path
) -> None:
    scores = unknown_scores(evaluation_of(tiny_bundle, clips, tmp_path))
    called = scores["called_unknown"]
    assert isinstance(called, dict)
    assert called["heldout"]["others"] == {"n": 4, "share": None, "by_name": {}}
    report = {"labels": [], "real": {"balanced": 0, "overall": 0, "n": 0}, "frechet": {}}
    lines = tables(report | {"unknown": scores})
    assert any(line.startswith("| categories of no label") for line in lines)
    assert any("heard by the judge for 4 pictures of no label" in line for line in lines)


def test_an_index_without_strange_pictures_has_no_table(
    confident_bundle: Path, media_index: Path, tmp_path: Path
) -> None:
    evaluation = evaluation_of(confident_bundle, read_index(media_index), tmp_path)
    assert unknown_scores(evaluation) == {}
