import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from echoes_rt import Echoes
from echoes_rt.errors import InputError
from echoes_rt.format.mel import mel_filterbank
from echoes_rt.io.audio import read_audio, write_audio

RATE = 22_050


def tone(hertz: float = 440.0, seconds: float = 1.0, rate: int = RATE) -> NDArray[np.float32]:
    time = np.arange(int(seconds * rate)) / rate
    return (0.5 * np.sin(2 * np.pi * hertz * time)).astype(np.float32)


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg", ".WAV"])
def test_sound_survives_writing_and_reading(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"tone{suffix}"
    write_audio(path, tone(), RATE)
    info = soundfile.info(path)
    assert info.channels == 1
    assert info.subtype == ("VORBIS" if suffix == ".ogg" else "PCM_16")
    back = read_audio(path, RATE)
    assert len(back) == RATE
    tolerance = 0.05 if suffix == ".ogg" else 1e-4
    assert np.abs(back - tone()).max() < tolerance
    assert [*tmp_path.iterdir()] == [path]


def test_long_vorbis_is_written_in_blocks(tmp_path: Path) -> None:
    write_audio(tmp_path / "long.ogg", tone(seconds=300, rate=8000), 8000)
    assert soundfile.info(tmp_path / "long.ogg").frames == 300 * 8000


def test_channels_are_mixed_and_rates_converted(tmp_path: Path) -> None:
    left = tone(rate=44_100)
    soundfile.write(tmp_path / "stereo.wav", np.stack([left, 0 * left], axis=1), 44_100)
    mono = read_audio(tmp_path / "stereo.wav", RATE)
    assert abs(len(mono) - RATE) <= 1
    assert np.abs(mono[1000:-1000] - 0.5 * tone()[1000:-1000]).max() < 1e-3


@pytest.mark.parametrize(
    ("name", "rate", "channels", "subtype"),
    [
        ("a.wav", RATE, 2, None),
        ("a.wav", 44_100, 2, None),
        ("a.wav", 48_000, 1, None),
        ("a.wav", 16_000, 1, None),
        ("a.wav", 44_101, 1, None),  # the two rates meet once a second
        ("a.flac", 96_000, 1, None),
        ("a.ogg", 44_100, 2, "VORBIS"),
        ("a.ogg", 48_000, 1, "OPUS"),
        ("a.mp3", 44_100, 2, None),
        ("a.wav", 44_100, 1, "GSM610"),  # cannot seek
    ],
)
def test_part_is_what_the_whole_has_there(
    name: str, rate: int, channels: int, subtype: str | None, tmp_path: Path
) -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, (round(2.5 * rate), channels))
    soundfile.write(tmp_path / name, noise, rate, subtype=subtype)
    whole = read_audio(tmp_path / name, RATE)
    for start_s in (0.0, 0.1234, 1.9, 2.45):
        part = read_audio(tmp_path / name, RATE, start_s=start_s, n_samples=2000)
        there = whole[round(start_s * RATE) :][:2000]
        assert len(part) == len(there)
        if rate == RATE:
            np.testing.assert_array_equal(part, there)
        np.testing.assert_allclose(part, there, atol=2e-6)
    rest = read_audio(tmp_path / name, RATE, start_s=2.0)
    np.testing.assert_allclose(rest, whole[2 * RATE :], atol=2e-6)


def test_no_more_is_read_than_the_part(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros((20 * 48_000, 2), np.float32), 48_000)
    peaks = []
    for start_s in (0.0, 15.0):
        tracemalloc.start()
        read_audio(tmp_path / "a.wav", RATE, start_s=start_s, n_samples=RATE // 10)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert max(peaks) < 1_000_000  # the whole has 7,680,000 bytes


@pytest.mark.parametrize("start_s", [-0.1, 1.0, float("nan"), float("inf")])
def test_start_outside_of_the_sound_is_refused(start_s: float, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", tone(rate=44_100), 44_100)
    with pytest.raises(InputError, match=r"start must be within the 1\.00 s of the sound, got"):
        read_audio(tmp_path / "a.wav", RATE, start_s=start_s)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("missing.wav", None, "no sound file at"),
        ("text.wav", b"hello", "is not a sound that can be read"),
        ("a.raw", bytes(100), r"do not say their rate; make a \.wav of them"),
        ("short.wav", np.ones(1), "is empty or cut off"),  # less than half a sample of the model
        ("empty.wav", np.zeros(0), "is empty"),
        ("long.wav", np.zeros(3601), "is longer than the 3600 s allowed"),
    ],
)
def test_unreadable_sounds_are_refused(
    name: str, content: bytes | NDArray[Any] | None, words: str, tmp_path: Path
) -> None:
    if isinstance(content, bytes):
        (tmp_path / name).write_bytes(content)
    elif content is not None:
        soundfile.write(tmp_path / name, content, 1 if len(content) > 1 else 48_000)
    with pytest.raises(InputError, match=words):
        read_audio(tmp_path / name, RATE)


@pytest.mark.parametrize("n_samples", [130, 1000, 1024])
def test_log_mel_is_that_of_specvqgan_frame_by_frame(n_samples: int, echoes: Echoes) -> None:
    spec = echoes.manifest.mel
    n_fft, hop = spec.n_fft, spec.hop_length
    samples = np.random.default_rng(0).normal(0, 0.1, n_samples).astype(np.float32)
    mel = echoes.log_mel(samples[None])[0]
    assert mel.shape == (spec.n_mels, n_samples // hop)
    assert mel.dtype == np.float32
    half = n_fft // 2
    padded = np.concatenate([samples[half:0:-1], samples, samples[-2 : -half - 2 : -1]])
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft)
    bank = mel_filterbank(spec).astype(np.float64)
    for t in range(mel.shape[1]):
        frame = padded[hop * t : hop * t + n_fft].astype(np.float64) * window
        angles = np.outer(np.arange(half + 1), np.arange(n_fft)) * 2 * np.pi / n_fft
        spectrum = np.hypot((frame * np.cos(angles)).sum(1), (frame * np.sin(angles)).sum(1))
        decibels = 20 * np.log10(np.maximum(1e-5, bank @ spectrum)) - 20
        expected = 2 * np.clip((decibels + 100) / 100, 0, 1) - 1
        np.testing.assert_allclose(mel[:, t], expected, atol=1e-5)


def test_log_mels_of_silence_and_noise_stay_in_range(echoes: Echoes) -> None:
    loud = np.random.default_rng(0).choice([-1.0, 1.0], 4096).astype(np.float32)
    mels = echoes.log_mel(np.stack([np.zeros(4096, np.float32), loud]))
    assert (mels[0] == -1).all()
    assert -1 <= mels[1].min() <= mels[1].max() <= 1
