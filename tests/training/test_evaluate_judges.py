"""The judges: what they learn from, that they learn, and that they are kept."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from echoes_rt.errors import InputError
from echoes_rt.format.image import ImageSpec
from echoes_training.data.audio import AudioStore
from echoes_training.data.index import Clip, read_index
from echoes_training.evaluate import media
from echoes_training.evaluate.augment import AugmentConfig, augment, mix
from echoes_training.evaluate.judge import (
    ClassifierConfig,
    Judge,
    PictureClassifierConfig,
    PictureJudge,
    cached_judge,
    cached_picture_judge,
    judge_spec,
)
from echoes_training.presets import PRESETS

LABELS = ("high", "low")
SPEC = ImageSpec(height=32, width=32)
SOUNDS = ClassifierConfig(width=8, embedding_dim=4, steps=30, batch_size=8)
PICTURES = PictureClassifierConfig(
    short_side=24, width=4, embedding_dim=8, steps=80, batch_size=8, coarsest=8
)


def sound_judge(cache: Path, rows: list[Clip], **settings: Any) -> Judge:
    store = AudioStore(PRESETS["tiny"].mel)
    return cached_judge(cache, rows, LABELS, store, replace(SOUNDS, **settings))


def picture_judge(cache: Path, rows: list[Clip], **settings: Any) -> PictureJudge:
    return cached_picture_judge(cache, rows, LABELS, SPEC, replace(PICTURES, **settings))


JUDGES = [
    (sound_judge, media.labelled_sounds, {"augment": AugmentConfig(gain_db=1.0)}),
    (picture_judge, media.labelled_pictures, {"blurred": 0.0}),
]
Make = Callable[..., Any]


def test_labels_are_those_with_sounds_in_both_splits(media_index: Path) -> None:
    clips = read_index(media_index)
    assert media.labels_of(clips) == LABELS
    one_sided = [c for c in clips if c.split == "train" or c.label == "low"]
    with pytest.raises(InputError, match=r"two or more labels in the splits .* found 1"):
        media.labels_of(one_sided)


def test_rows_of_the_two_splits_share_no_file(media_index: Path) -> None:
    clips = read_index(media_index)
    taught = {c.audio for c in media.labelled_sounds(clips, LABELS, "train")}
    held_out = {c.audio for c in media.labelled_sounds(clips, LABELS, "heldout")}
    assert len(taught) == 8
    assert len(held_out) == 2
    assert not taught & held_out


def test_pictures_are_limited_drawn_by_seed_and_in_order(media_index: Path) -> None:
    clips = media.labelled_pictures(read_index(media_index), LABELS, "train")
    drawn = media.drawn(clips, LABELS, per_label=2, seed=0)
    assert [c.label for c in drawn] == ["high", "high", "low", "low"]
    assert drawn == media.drawn(clips, LABELS, per_label=2, seed=0)
    assert any(drawn != media.drawn(clips, LABELS, per_label=2, seed=seed) for seed in range(1, 9))


@pytest.mark.parametrize(("make", "rows_of", "other"), JUDGES)
def test_held_out_media_are_refused(
    media_index: Path, tmp_path: Path, make: Make, rows_of: Make, other: dict[str, Any]
) -> None:
    with pytest.raises(ValueError, match="held-out media must never train a judge"):
        make(tmp_path, rows_of(read_index(media_index), LABELS, "heldout"))


def test_learns_two_tones_whatever_their_loudness(media_index: Path, tmp_path: Path) -> None:
    clips = read_index(media_index)
    judge = sound_judge(tmp_path, media.labelled_sounds(clips, LABELS, "train"))
    held_out = media.labelled_sounds(clips, LABELS, "heldout")
    store = AudioStore(judge.spec)
    sounds = np.stack([store.get(c.audio or "", c.start) for c in held_out])
    truth = [LABELS.index(c.label or "") for c in held_out]
    for gain in (1.0, 0.03, 3.0):
        verdicts = judge.judge(sounds * np.float32(gain))
        assert verdicts.predicted.tolist() == truth
    assert verdicts.embeddings.shape == (2, 4)
    assert judge.model.taught.shape == (8, 4)
    assert judge.model.taught.any()
    assert len(judge.judge(np.full_like(sounds, np.nan)).predicted) == 2


def test_learns_two_colours_at_any_size(media_index: Path, tmp_path: Path) -> None:
    clips = read_index(media_index)
    judge = picture_judge(tmp_path, media.labelled_pictures(clips, LABELS, "train"))
    held_out = media.labelled_pictures(clips, LABELS, "heldout")
    truth = [LABELS.index(clip.label or "") for clip in held_out]
    pictures = np.stack([cv2.imread(clip.image or "")[:, :, ::-1] for clip in held_out])
    assert judge.judge(pictures).predicted.tolist() == truth
    assert judge.judge(pictures[:, ::2, ::2]).predicted.tolist() == truth
    assert judge.judge(pictures).embeddings.shape == (2, 8)


def test_pictures_are_seen_in_the_bundles_shape_and_never_enlarged() -> None:
    config = PictureClassifierConfig()
    assert judge_spec(ImageSpec(height=128, width=128), config) == ImageSpec(height=96, width=96)
    assert judge_spec(ImageSpec(height=192, width=256), config) == ImageSpec(height=96, width=128)
    assert judge_spec(SPEC, config) == SPEC


@pytest.mark.parametrize(("make", "rows_of", "other"), JUDGES)
def test_is_trained_once_and_the_same_each_time(
    media_index: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    make: Make,
    rows_of: Make,
    other: dict[str, Any],
) -> None:
    rows = rows_of(read_index(media_index), LABELS, "train")
    first = make(tmp_path / "a", rows, steps=3)
    again = make(tmp_path / "b", rows, steps=3)
    # Other media or settings make another judge.
    make(tmp_path / "a", rows[:-1], steps=3)
    make(tmp_path / "a", rows, steps=3, seed=1)
    make(tmp_path / "a", rows, steps=3, **other)
    assert len(list((tmp_path / "a").iterdir())) == 4
    monkeypatch.setattr("echoes_training.evaluate.judge.save_file", None)
    kept = make(tmp_path / "a", rows, steps=3)
    for judge in (again, kept):
        assert not judge.model.training
        for name, values in judge.model.state_dict().items():
            assert torch.equal(values, first.model.state_dict()[name])


def test_variation_keeps_the_range_and_follows_its_generator() -> None:
    mels = torch.rand(6, 16, 32) * 2 - 1
    config = AugmentConfig()

    def varied(seed: int) -> torch.Tensor:
        return augment(mels, config, torch.Generator().manual_seed(seed))

    assert varied(0).shape == mels.shape
    assert varied(0).abs().max() <= 1
    assert torch.equal(varied(0), varied(0))
    assert not torch.equal(varied(0), varied(1))
    _, targets = mix(mels, torch.eye(6), config, torch.Generator().manual_seed(0))
    torch.testing.assert_close(targets.sum(dim=1), torch.ones(6))
    assert (targets.diagonal() >= 1 - config.mixed).all()
