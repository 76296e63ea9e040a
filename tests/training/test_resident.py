"""What lies on a GPU is augmented as the stores do it; what is made ahead is what would be made."""

import threading
from pathlib import Path

import cv2
import numpy as np
import pytest
import soundfile
import torch
from tests.training.runs import clip

from echoes_rt.errors import InputError
from echoes_training.config import DataConfig, VocoderStageConfig
from echoes_training.data import resident
from echoes_training.data.audio import ALIGNED, ANYWHERE, AudioStore, SoundView, Variation, repeated
from echoes_training.data.image import ImageStore, to_batch
from echoes_training.data.index import Clip, read_index
from echoes_training.data.resident import ResidentPictures, ResidentSounds
from echoes_training.presets import PRESETS
from echoes_training.stages.loop import Prefetch
from echoes_training.stages.vocoder import SILENT_PEAK, Segments

TINY = PRESETS["tiny"]
CPU = torch.device("cpu")


def generators(count: int) -> list[np.random.Generator]:
    return [np.random.default_rng((0, place)) for place in range(count)]


@pytest.fixture
def pictures(tmp_path: Path) -> list[str]:
    """Large, small, long and high ones, with edges."""
    paths = []
    for number, (height, width) in enumerate(((90, 120), (41, 38), (30, 33), (40, 160), (170, 45))):
        rng = np.random.default_rng(number)
        coarse = rng.integers(0, 256, (height // 6, width // 6, 3), dtype=np.uint8)
        path = tmp_path / f"{number}.png"
        cv2.imwrite(str(path), cv2.resize(coarse, (width, height), interpolation=cv2.INTER_NEAREST))
        paths.append(str(path))
    return paths


def test_pictures_are_cropped_mirrored_and_lit_as_by_the_store(pictures: list[str]) -> None:
    store = ImageStore(TINY.image)
    on_device = ResidentPictures(store, pictures, CPU)
    order = [pictures[i % 5] for i in range(60)]
    found = on_device.augmented(order, generators(60))
    views = [store.augmented(path, rng) for path, rng in zip(order, generators(60), strict=True)]
    expected = to_batch(views, TINY.image)
    levels = (found - expected).abs() * 255 * torch.tensor(TINY.image.std).view(1, 3, 1, 1)
    assert found.shape == expected.shape
    assert levels.max().item() < 2.5  # OpenCV enlarges in fixed point
    assert levels.mean().item() < 0.25


@pytest.fixture
def sounds(tmp_path: Path) -> list[Clip]:
    """Events of several lengths, some after silence, and noise that fills the clip."""
    rng = np.random.default_rng(0)
    spec = TINY.mel
    clips = []
    for number, (begin, end) in enumerate(((0.0, 1.0), (0.0, 0.2), (0.3, 0.4), (0.5, 0.51))):
        samples = np.zeros(spec.n_samples, np.float32)
        first, last = int(begin * len(samples)), int(end * len(samples))
        samples[first:last] = 0.3 * rng.standard_normal(last - first).clip(-2, 2)
        path = tmp_path / f"{number}.wav"
        soundfile.write(path, samples, spec.sample_rate)
        clips.append(
            clip(audio=str(path), category="any", split="train" if number else "validation")
        )
    return clips


@pytest.mark.parametrize("variation", [ANYWHERE, ALIGNED])
def test_sounds_are_varied_as_by_the_store(sounds: list[Clip], variation: Variation) -> None:
    store = AudioStore(TINY.mel)
    on_device = ResidentSounds(store, sounds, CPU)
    order = [sounds[i % len(sounds)] for i in range(40)]
    views = [SoundView.draw(variation, TINY.mel, rng) for rng in generators(40)]
    found = on_device.varied(order, views, variation).numpy()
    expected = [
        store.augmented(str(clip.audio), clip.start, rng, variation)
        for clip, rng in zip(order, generators(40), strict=True)
    ]
    np.testing.assert_allclose(found, np.stack(expected), atol=2e-4)
    loudness = 10 * np.log10(np.square(found).mean(axis=1))
    low, high = variation.rms_dbfs
    assert (loudness > low - variation.gain_db - 0.1).all()
    assert (loudness < high + variation.gain_db + 0.1).all()


@pytest.mark.parametrize("variation", [ANYWHERE, ALIGNED])
def test_views_of_sounds_have_the_distribution_of_the_stores(variation: Variation) -> None:
    drawn = [SoundView.draw(variation, TINY.mel, rng) for rng in generators(4000)]
    repeats = np.concatenate([view.repeats for view in drawn])
    assert np.mean([v.is_repeated for v in drawn]) == pytest.approx(variation.repeated, abs=0.03)
    assert np.mean([v.shift == 0 for v in drawn]) == pytest.approx(0.5, abs=0.03)
    longest = min(variation.shift_s, TINY.mel.duration_s) * TINY.mel.sample_rate
    assert max(v.shift for v in drawn) == pytest.approx(longest, rel=0.05)
    for values, low, high in (
        ([v.speed for v in drawn], 1 - variation.speed, 1 + variation.speed),
        ([v.gain_db for v in drawn], -variation.gain_db, variation.gain_db),
        (repeats[:, 0], 0.6, 1.0),
        (repeats[:, 1], 0.05, 0.8),
    ):
        places = (np.sort(np.asarray(values)) - low) / (high - low)
        assert np.abs(places - np.linspace(0, 1, len(places))).max() < 0.04


def test_short_sounds_are_heard_again_after_pauses() -> None:
    rng = np.random.default_rng(0)
    rate, size = 1000, 3000
    x = np.zeros((5, size), np.float32)
    lengths = (1, 70, 1499, 1501, size)
    for row, length in zip(x, lengths, strict=True):
        row[:length] = rng.uniform(0.1, 0.5, length)
    repeats = rng.uniform((0.6, 0.05), (1.0, 0.8), (5, 61, 2))
    found = repeated(torch.from_numpy(x), torch.from_numpy(repeats), rate).numpy()
    np.testing.assert_array_equal(found[4], x[4])
    for row, length, draws, result in zip(x[:4], lengths, repeats, found, strict=False):
        expected, at = np.zeros(size + length), 0
        for gain, pause_s in draws:
            if at < size:
                expected[at : at + length] = row[:length] * np.float32(gain)
            at += length + int(pause_s * rate)
        np.testing.assert_allclose(result, expected[:size], rtol=1e-6)
    assert not repeated(torch.zeros(1, size), torch.from_numpy(repeats[:1]), rate).any()


def test_segments_are_cut_where_something_is_heard(media_index: Path) -> None:
    config = VocoderStageConfig(**{**vars(TINY.vocoder), "data": DataConfig(resident=True)})
    segments = Segments(read_index(media_index), config, CPU)
    found = segments.batch(3, 7, range(64))
    assert found.shape == (64, segments.size)
    assert torch.equal(found[5:6], segments.batch(3, 7, range(5, 6)))
    assert not torch.equal(found, segments.batch(3, 8, range(64)))
    assert (found.abs().amax(dim=1) > SILENT_PEAK).float().mean().item() > 0.9


def test_a_device_without_room_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(values: object) -> torch.Tensor:
        raise torch.OutOfMemoryError("no room")

    monkeypatch.setattr(torch, "from_numpy", full)
    with pytest.raises(InputError, match=r"data\.resident needs 2\.0 GB"):
        resident.placed(np.broadcast_to(np.uint8(0), (2 * 10**9,)), CPU)


def test_what_is_made_ahead_comes_in_its_order_and_ends_with_the_run() -> None:
    made: list[int] = []
    mine = threading.get_ident()

    def make(step: int) -> tuple[int, bool]:
        made.append(step)
        return step, threading.get_ident() == mine

    ahead = Prefetch(make, 10, torch.device("cuda"))
    assert [ahead(step) for step in range(3, 10)] == [(step, False) for step in range(3, 10)]
    assert sorted(made) == list(range(3, 10))
    assert [Prefetch(make, 10, CPU)(step) for step in (4, 5)] == [(4, True), (5, True)]
    assert made[-2:] == [4, 5]


def test_what_fails_ahead_fails_where_it_is_wanted() -> None:
    def make(step: int) -> int:
        if step == 2:
            raise InputError("unreadable")
        return step

    ahead = Prefetch(make, 10, torch.device("cuda"))
    assert [ahead(0), ahead(1)] == [0, 1]
    with pytest.raises(InputError, match="unreadable"):
        ahead(2)
