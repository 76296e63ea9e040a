"""The judge: what it learns from, that it learns, and that it is kept."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from echoes_rt.errors import InputError
from echoes_training.data.audio import AudioStore
from echoes_training.data.index import read_index
from echoes_training.evaluate import classifier, media
from echoes_training.evaluate.augment import AugmentConfig, augment, mix
from echoes_training.evaluate.classifier import ClassifierConfig, cached_judge, train_judge
from echoes_training.presets import PRESETS

LABELS = ("high", "low")
CONFIG = ClassifierConfig(width=8, embedding_dim=4, steps=30, batch_size=8)


@pytest.fixture
def store() -> AudioStore:
    return AudioStore(PRESETS["tiny"].mel)


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
    pictures = media.labelled_pictures(clips, LABELS, "heldout")
    assert {c.split for c in pictures} == {"heldout"}
    assert len(pictures) == 2


def test_pictures_are_limited_drawn_by_seed_and_in_order(media_index: Path) -> None:
    clips = media.labelled_pictures(read_index(media_index), LABELS, "train")
    drawn = media.drawn(clips, LABELS, per_label=2, seed=0)
    assert [c.label for c in drawn] == ["high", "high", "low", "low"]
    assert drawn == media.drawn(clips, LABELS, per_label=2, seed=0)
    assert any(drawn != media.drawn(clips, LABELS, per_label=2, seed=seed) for seed in range(1, 9))


def test_held_out_sounds_are_refused(media_index: Path, store: AudioStore) -> None:
    with pytest.raises(ValueError, match="held-out sounds must never train the judge"):
        train_judge(read_index(media_index), LABELS, store, CONFIG)


def test_learns_two_tones_whatever_their_loudness(media_index: Path, store: AudioStore) -> None:
    clips = read_index(media_index)
    judge = train_judge(media.labelled_sounds(clips, LABELS, "train"), LABELS, store, CONFIG)
    held_out = media.labelled_sounds(clips, LABELS, "heldout")
    sounds = np.stack([store.get(c.audio or "", c.start) for c in held_out])
    truth = [LABELS.index(c.label or "") for c in held_out]
    for gain in (1.0, 0.03, 3.0):
        verdicts = judge.judge(sounds * np.float32(gain))
        assert verdicts.predicted.tolist() == truth
    assert verdicts.embeddings.shape == (2, 4)
    assert judge.taught.shape == (8, 4)
    assert len(judge.judge(np.full_like(sounds, np.nan)).predicted) == 2


def test_is_trained_once_and_the_same_each_time(
    media_index: Path, store: AudioStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(CONFIG, steps=4)
    rows = media.labelled_sounds(read_index(media_index), LABELS, "train")
    first = cached_judge(tmp_path / "a", rows, LABELS, store, config)
    other = cached_judge(tmp_path / "b", rows, LABELS, store, config)
    monkeypatch.setattr(classifier, "train_judge", None)
    kept = cached_judge(tmp_path / "a", rows, LABELS, store, config)
    for judge in (other, kept):
        torch.testing.assert_close(judge.taught, first.taught, rtol=0, atol=0)
        for a, b in zip(judge.model.parameters(), first.model.parameters(), strict=True):
            assert torch.equal(a, b)


def test_other_sounds_or_settings_make_another_judge(
    media_index: Path, store: AudioStore, tmp_path: Path
) -> None:
    config = replace(CONFIG, steps=2)
    rows = media.labelled_sounds(read_index(media_index), LABELS, "train")
    cached_judge(tmp_path, rows, LABELS, store, config)
    cached_judge(tmp_path, rows[:-1], LABELS, store, config)
    cached_judge(tmp_path, rows, LABELS, store, replace(config, seed=1))
    softer = AugmentConfig(gain_db=1.0)
    cached_judge(tmp_path, rows, LABELS, store, replace(config, augment=softer))
    assert len(list(tmp_path.iterdir())) == 4


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
