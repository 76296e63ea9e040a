import os
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from echoes_rt.errors import InputError
from echoes_rt.io.audio import check_sound_path, read_audio, write_audio

RATE = 22_050


def tone(hertz: float = 440.0, seconds: float = 1.0, rate: int = RATE) -> NDArray[np.float32]:
    time = np.arange(int(seconds * rate)) / rate
    return (0.5 * np.sin(2 * np.pi * hertz * time)).astype(np.float32)


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


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
    assert names(tmp_path) == [path.name]


def test_long_vorbis_is_written_in_blocks(tmp_path: Path) -> None:
    write_audio(tmp_path / "long.ogg", tone(seconds=300, rate=8000), 8000)
    assert soundfile.info(tmp_path / "long.ogg").frames == 300 * 8000


def test_channels_are_mixed_and_rates_converted(tmp_path: Path) -> None:
    left = tone(rate=44_100)
    soundfile.write(tmp_path / "stereo.wav", np.stack([left, 0 * left], axis=1), 44_100)
    mono = read_audio(tmp_path / "stereo.wav", RATE)
    assert abs(len(mono) - RATE) <= 1
    assert np.abs(mono[1000:-1000] - 0.5 * tone()[1000:-1000]).max() < 1e-3


def noise(path: Path, seconds: float, rate: int, channels: int, subtype: str | None) -> None:
    samples = np.random.default_rng(0).normal(0, 0.1, (round(seconds * rate), channels))
    soundfile.write(path, samples, rate, subtype=subtype)


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
    noise(tmp_path / name, 2.5, rate, channels, subtype)
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


def test_part_of_which_nothing_is_there_is_an_error(tmp_path: Path) -> None:
    """One sample at 48 kHz is less than half a sample of the model."""
    soundfile.write(tmp_path / "short.wav", np.ones(1, np.float32), 48_000)
    with pytest.raises(InputError, match=r"sound .*short\.wav is empty or cut off"):
        read_audio(tmp_path / "short.wav", RATE)


@pytest.mark.parametrize("start_s", [-0.1, 1.0, float("nan"), float("inf")])
def test_start_outside_of_the_sound_is_refused(start_s: float, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", tone(rate=44_100), 44_100)
    with pytest.raises(InputError, match=r"start must be within the 1\.00 s of the sound, got"):
        read_audio(tmp_path / "a.wav", RATE, start_s=start_s)


@pytest.mark.parametrize("name", ["out.aac", "out", "out.wav.txt"])
def test_unknown_suffix_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a sound ends in \.wav, \.flac, \.ogg, \.mp3$"):
        check_sound_path(tmp_path / name)


def test_places_that_cannot_be_written_are_refused(tmp_path: Path) -> None:
    (tmp_path / "folder.wav").mkdir()
    with pytest.raises(InputError, match="it is a folder; give a file name"):
        check_sound_path(tmp_path / "folder.wav")
    with pytest.raises(InputError, match=r"there is no folder .*missing; make it first"):
        check_sound_path(tmp_path / "missing" / "a.wav")
    with pytest.raises(InputError, match=r"cannot write /proc/a\.wav: "):
        check_sound_path("/proc/a.wav")
    with pytest.raises(InputError, match="File name too long"):
        check_sound_path(tmp_path / f"{'a' * 252}.wav")
    os.mkfifo(tmp_path / "pipe.wav")
    with pytest.raises(InputError, match="it is not a regular file"):
        check_sound_path(tmp_path / "pipe.wav")


def test_checking_leaves_no_trace(tmp_path: Path) -> None:
    check_sound_path(tmp_path / "a.wav")
    (tmp_path / "b.wav").write_bytes(b"old")
    check_sound_path(tmp_path / "b.wav")
    assert names(tmp_path) == ["b.wav"]
    assert (tmp_path / "b.wav").read_bytes() == b"old"


def test_link_is_written_through(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link.wav").symlink_to(tmp_path / "real" / "a.wav")
    write_audio(tmp_path / "link.wav", tone(), RATE)
    assert (tmp_path / "link.wav").is_symlink()
    assert soundfile.info(tmp_path / "real" / "a.wav").frames == RATE


def test_unreadable_sounds_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no sound file at"):
        read_audio(tmp_path / "missing.wav", RATE)
    (tmp_path / "text.wav").write_text("hello")
    with pytest.raises(InputError, match="is not a sound that can be read"):
        read_audio(tmp_path / "text.wav", RATE)
    soundfile.write(tmp_path / "empty.wav", np.zeros(0), RATE)
    with pytest.raises(InputError, match="is empty"):
        read_audio(tmp_path / "empty.wav", RATE)
    (tmp_path / "a.raw").write_bytes(bytes(100))
    with pytest.raises(InputError, match=r"do not say their rate; make a \.wav of them"):
        read_audio(tmp_path / "a.raw", RATE)
    soundfile.write(tmp_path / "long.wav", np.zeros(3601), 1)
    with pytest.raises(InputError, match="is longer than the 3600 s allowed"):
        read_audio(tmp_path / "long.wav", RATE)
