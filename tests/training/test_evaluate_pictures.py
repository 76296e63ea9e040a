"""The judge of pictures: what it learns from, that it learns, and that it is kept."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from echoes_rt.format.image import ImageSpec
from echoes_training.data.index import Clip, read_index
from echoes_training.evaluate import media, picture_classifier
from echoes_training.evaluate.picture_classifier import (
    PictureClassifierConfig,
    cached_picture_judge,
    judge_spec,
    train_picture_judge,
)

LABELS = ("high", "low")
SPEC = ImageSpec(height=32, width=32)
CONFIG = PictureClassifierConfig(
    short_side=24, width=4, embedding_dim=8, steps=80, batch_size=8, coarsest=8
)


@pytest.fixture
def rows(media_index: Path) -> list[Clip]:
    return media.labelled_pictures(read_index(media_index), LABELS, "train")


def test_it_looks_at_the_bundles_shape_and_never_enlarges() -> None:
    config = PictureClassifierConfig()
    assert judge_spec(ImageSpec(height=128, width=128), config) == ImageSpec(height=96, width=96)
    assert judge_spec(ImageSpec(height=192, width=256), config) == ImageSpec(height=96, width=128)
    assert judge_spec(SPEC, config) == SPEC


def test_learns_two_colours_at_any_size(rows: list[Clip], media_index: Path) -> None:
    judge = train_picture_judge(rows, LABELS, judge_spec(SPEC, CONFIG), CONFIG)
    held_out = media.labelled_pictures(read_index(media_index), LABELS, "heldout")
    truth = [LABELS.index(clip.label or "") for clip in held_out]
    pictures = np.stack([cv2.imread(clip.image or "")[:, :, ::-1] for clip in held_out])
    assert judge.judge(pictures).predicted.tolist() == truth
    assert judge.judge(pictures[:, ::2, ::2]).predicted.tolist() == truth
    assert judge.judge(pictures).embeddings.shape == (2, 8)


def test_held_out_pictures_are_refused(media_index: Path) -> None:
    clips = [clip for clip in read_index(media_index) if clip.image]
    with pytest.raises(ValueError, match="held-out pictures must never train the judge"):
        train_picture_judge(clips, LABELS, SPEC, CONFIG)


def test_is_trained_once_and_the_same_each_time(
    rows: list[Clip], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(CONFIG, steps=3)
    first = cached_picture_judge(tmp_path / "a", rows, LABELS, SPEC, config)
    other = cached_picture_judge(tmp_path / "b", rows, LABELS, SPEC, config)
    cached_picture_judge(tmp_path / "a", rows[:-1], LABELS, SPEC, config)
    cached_picture_judge(tmp_path / "a", rows, LABELS, SPEC, replace(config, blurred=0.0))
    assert len(list((tmp_path / "a").iterdir())) == 3
    monkeypatch.setattr(picture_classifier, "train_picture_judge", None)
    kept = cached_picture_judge(tmp_path / "a", rows, LABELS, SPEC, config)
    for judge in (other, kept):
        for a, b in zip(judge.model.parameters(), first.model.parameters(), strict=True):
            assert torch.equal(a, b)
