"""Recordings as other people's programs write them: lengths, depths, containers, bounds."""

import os
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray
from tests.runtime.conftest import Encoded

from echoes_rt import Echoes
from echoes_rt.errors import BackendError, InputError
from echoes_rt.io import audio, sound_file
from echoes_rt.io.audio import read_audio, read_recording, write_audio
from echoes_rt.io.sound_count import why_miscounted

RATE = 22_050


@pytest.fixture(params=[True, False], ids=["PyAV", "no PyAV"])
def has_av(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[bool]:
    if request.param:
        pytest.importorskip("av")
    else:
        monkeypatch.setitem(sys.modules, "av", None)
    return bool(request.param)


def noise(seconds: float = 1.0, rate: int = RATE, channels: int = 1) -> NDArray[np.float64]:
    return np.random.default_rng(0).normal(0, 0.1, (round(seconds * rate), channels))


def check_whole(path: Path, seconds: float, has_av: bool, what: str) -> None:
    """All of it is read, or it is said what is missing."""
    if has_av:
        recording = read_recording(path)
        length = len(recording.samples) / recording.sample_rate
        assert length == pytest.approx(seconds, abs=0.15)
        late = read_audio(path, RATE, start_s=seconds - 0.5, n_samples=1000)
        whole = read_audio(path, RATE)[round((seconds - 0.5) * RATE) :][:1000]
        np.testing.assert_allclose(late, whole, atol=2e-6)
        with pytest.raises(InputError, match=rf"start must be within the {length:.2f} s"):
            read_audio(path, RATE, start_s=seconds + 1)
    else:
        for read in (read_recording, lambda path: read_audio(path, RATE, n_samples=1000)):
            with pytest.raises(BackendError, match=rf"{what}.* pip install .*\[video\]"):
                read(path)


@pytest.mark.parametrize(
    ("suffix", "subtype", "what"),
    [
        (".ogg", "VORBIS", "holds several Ogg streams"),
        (".ogg", "OPUS", "holds several Ogg streams"),
        (".flac", None, "holds several FLAC files"),
        (".mp3", None, "holds more than its beginning says"),
    ],
)
def test_files_one_after_another_are_one_recording(
    suffix: str, subtype: str | None, what: str, has_av: bool, tmp_path: Path
) -> None:
    path = tmp_path / f"joined{suffix}"
    soundfile.write(path, noise(1.0, 48_000), 48_000, subtype=subtype)
    path.write_bytes(2 * path.read_bytes())
    assert soundfile.info(path).duration < 1.5  # or there is no need for all this
    if has_av and subtype == "OPUS":
        try:
            read_recording(path)
        except InputError:
            return  # FFmpeg before 8 stops with an error, which is no silence
    check_whole(path, 2.0, has_av, what)


def test_joined_wav_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "joined.wav"
    soundfile.write(path, noise(), RATE)
    path.write_bytes(2 * path.read_bytes())
    with pytest.raises(InputError, match="holds several WAV files"):
        read_recording(path)


def test_flac_from_a_pipe_is_read_to_its_end(has_av: bool, tmp_path: Path) -> None:
    """It says that it has 0 samples."""
    soundfile.write(tmp_path / "a.flac", noise(2.0), RATE)
    data = bytearray((tmp_path / "a.flac").read_bytes())
    data[21] &= 0xF0
    data[22:26] = bytes(4)
    (tmp_path / "a.flac").write_bytes(data)
    check_whole(tmp_path / "a.flac", 2.0, has_av, "does not say how long it is")


def mpeg(frames: list[int]) -> bytes:
    """Silent frames of MPEG-1 layer III at 44.1 kHz, mono, by index of their bit rate."""
    kbits = [0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320]
    header = b"\xff\xfb"
    return b"".join(
        (header + bytes([index << 4, 0xC0])).ljust(144_000 * kbits[index] // 44_100, b"\0")
        for index in frames
    )


def test_mp3_of_varying_rate_without_a_count_is_read_to_its_end(
    has_av: bool, tmp_path: Path
) -> None:
    path = tmp_path / "a.mp3"
    path.write_bytes(mpeg([9] * 10 + [1] * 90))
    assert soundfile.info(path).duration < 2
    check_whole(path, 100 * 1152 / 44_100, has_av, "is an MP3 of varying bit rate")


@pytest.mark.parametrize("tags", [b"", b"ID3\x03\x00\x00\x00\x00\x02\x01" + b"\xff\xfb" * 129])
@pytest.mark.parametrize("even", [True, False])
def test_usual_mp3_is_libsndfiles(even: bool, tags: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.mp3"
    if even:
        path.write_bytes(tags[:-1] + mpeg([9] * 100) + b"TAG".ljust(128, b"\0"))
    else:
        soundfile.write(path, noise(1.0, 44_100), 44_100)
        path.write_bytes(tags[:-1] + path.read_bytes())
    assert why_miscounted(path) is None


def test_search_for_frames_ends(tmp_path: Path) -> None:
    """Each byte looks like the beginning of one."""
    path = tmp_path / "a.mp3"
    path.write_bytes(b"\xff\xfb\x90\xff\xfb" * 400_000)
    assert why_miscounted(path) == "is a damaged MP3"


# --- containers


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("memo.m4a", "aac"),
        ("memo.aac", "aac"),
        ("memo.m4a", "alac"),
        ("memo.opus", "libopus"),
        ("screen.webm", "libopus"),
        ("screen.mkv", "pcm_s24le"),
        ("film.mp4", "aac"),
        ("film.mov", "aac"),
    ],
)
def test_sound_of_ffmpegs_containers_is_read(
    name: str, codec: str, encoded: Encoded, echoes: Echoes, tmp_path: Path
) -> None:
    path = encoded(tmp_path / name, codec)
    whole = read_audio(path, RATE)
    assert len(whole) / RATE == pytest.approx(2, abs=0.1)
    middle = whole[RATE // 2 : RATE // 2 + RATE]
    assert np.abs(np.fft.rfft(middle)).argmax() == 440
    is_deep = codec in ("pcm_s24le", "alac")
    assert read_recording(path).depth == ("PCM_24" if is_deep else "PCM_16")
    picture = echoes.generate(path, start=0.5, seed=1)
    assert picture.pixels.shape == (32, 32, 3)  # type: ignore[union-attr]


def test_missing_pyav_names_the_file_and_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "memo.m4a").write_bytes(b"x")
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(BackendError, match=r"memo\.m4a needs PyAV; pip install .*\[video\]"):
        read_audio(tmp_path / "memo.m4a", RATE)


def test_broken_container_is_one_line(av: Any, tmp_path: Path) -> None:
    (tmp_path / "memo.m4a").write_bytes(b"\0\0\0\x18ftypM4A " + bytes(100))
    with pytest.raises(InputError, match=r"memo\.m4a is not a sound that can be read: "):
        read_recording(tmp_path / "memo.m4a")


# --- depths


@pytest.mark.parametrize(
    ("name", "subtype", "kept"),
    [
        ("a.wav", "PCM_16", "PCM_16"),
        ("a.wav", "PCM_U8", "PCM_16"),
        ("a.wav", "ULAW", "PCM_16"),
        ("a.wav", "PCM_24", "PCM_24"),
        ("a.wav", "PCM_32", "PCM_32"),
        ("a.wav", "FLOAT", "FLOAT"),
        ("a.wav", "DOUBLE", "DOUBLE"),
        ("a.flac", "PCM_24", "PCM_24"),
        ("a.aiff", "PCM_24", "PCM_24"),
        ("a.caf", "ALAC_24", "PCM_24"),
    ],
)
@pytest.mark.parametrize("verb", ["inpaint", "continue"])
def test_depth_of_a_recording_is_kept(
    verb: str, name: str, subtype: str, kept: str, echoes: Echoes, tmp_path: Path
) -> None:
    samples = noise(0.5, channels=2)
    if subtype in ("FLOAT", "DOUBLE"):
        samples[:100] = 1.75  # headroom of a mixing desk
    soundfile.write(tmp_path / name, samples, RATE, subtype=subtype)
    given, _ = soundfile.read(tmp_path / name)
    if verb == "inpaint":
        made: Any = echoes.inpaint(tmp_path / name, start=0.3, stop=0.33, seed=1)
    else:
        made = echoes.continue_(tmp_path / name, duration=0.1, seed=1)
    made.save(tmp_path / "out.wav")
    assert soundfile.info(tmp_path / "out.wav").subtype == kept
    written, _ = soundfile.read(tmp_path / "out.wav")
    end = round(0.25 * RATE) if verb == "inpaint" else len(given)
    np.testing.assert_array_equal(written[:end], given[:end])


def test_long_recording_is_filled_in_where_it_says(echoes: Echoes, tmp_path: Path) -> None:
    """Only the seconds round the part are looked at."""
    samples = noise(12.0, 16_000, 2)
    soundfile.write(tmp_path / "a.wav", samples, 16_000, subtype="FLOAT")
    given = read_recording(tmp_path / "a.wav").samples.copy()
    made = echoes.inpaint(tmp_path / "a.wav", start=8.5, stop=8.54, seed=1).samples
    changed = np.flatnonzero((made != given).any(axis=1)) / 16_000
    assert changed.min() == pytest.approx(8.48, abs=0.002)
    assert changed.max() == pytest.approx(8.56, abs=0.002)
    with pytest.raises(InputError, match=r"within the 12\.00 s of the sound, got 11 s to 13 s"):
        echoes.inpaint(tmp_path / "a.wav", start=11, stop=13)


def test_format_that_cannot_hold_a_depth_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    quiet = noise(0.1).astype(np.float32)
    write_audio(tmp_path / "a.flac", quiet, RATE, "FLOAT")
    assert soundfile.info(tmp_path / "a.flac").subtype == "PCM_24"
    assert "a.flac holds PCM_24" in caplog.text
    with pytest.raises(InputError, match=r"samples up to 3.*use \.wav"):
        write_audio(tmp_path / "a.flac", quiet * 0 + 3, RATE, "FLOAT")
    assert soundfile.info(tmp_path / "a.flac").frames == len(quiet)  # the old one


@pytest.mark.parametrize("scale", [32_767, 127, 2.0**31])
def test_floats_of_another_scale_are_refused(scale: float, echoes: Echoes, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", noise() * scale * 5, RATE, subtype="FLOAT")
    for use in (
        lambda: echoes.inpaint(tmp_path / "a.wav", start=0.5, stop=0.52),
        lambda: echoes.generate(tmp_path / "a.wav"),
        lambda: echoes.generate((noise()[:, 0] * scale * 5).astype(np.float32)),
    ):
        with pytest.raises(InputError, match=r"floats are to lie in \[-1, 1\]; divide them"):
            use()


def test_too_many_channels_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"FLAC holds 8 channels, got 9; use \.wav"):
        write_audio(tmp_path / "a.flac", noise(0.1, channels=9), RATE)


# --- bounds


def wav_header(rate: int, channels: int = 1, frames: int = 1000) -> bytes:
    size = frames * channels * 2
    head = struct.pack("<4sI4s4sI", b"RIFF", 36 + size, b"WAVE", b"fmt ", 16)
    info = struct.pack("<HHIIHH", 1, channels, rate, min(rate * channels * 2, 2**32 - 1),
                       channels * 2, 16)  # fmt: skip
    return head + info + struct.pack("<4sI", b"data", size)


@pytest.mark.parametrize("rate", [1_000_001, 99_999_989, 2_147_483_647])
def test_absurd_rates_are_refused(rate: int, tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(wav_header(rate) + bytes(2000))
    for read in (read_recording, lambda path: read_audio(path, RATE, n_samples=100)):
        with pytest.raises(InputError, match=rf"has {rate} samples a second, allowed are"):
            read(tmp_path / "a.wav")


def test_what_is_held_is_bounded_and_a_part_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """45 kB of FLAC make gigabytes: minutes alone say nothing."""
    frames, channels = 60 * RATE, 8
    with (tmp_path / "a.wav").open("wb") as file:
        file.write(wav_header(RATE, channels, frames))
        file.truncate(file.tell() + frames * channels * 2)  # sparse
    monkeypatch.setattr(audio, "MAX_HELD_BYTES", 40_000_000)
    with pytest.raises(InputError, match="takes more than the 40 MB allowed when decoded"):
        read_recording(tmp_path / "a.wav")
    assert len(read_audio(tmp_path / "a.wav", RATE, start_s=55, n_samples=1000)) == 1000


def test_what_does_not_say_its_length_is_bounded_while_it_is_read(
    encoded: Encoded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = encoded(tmp_path / "memo.m4a", "aac")
    monkeypatch.setattr(audio, "MAX_HELD_BYTES", 100_000)
    with pytest.raises(InputError, match="takes more than the 0 MB allowed"):
        read_recording(path)
    monkeypatch.setattr(sound_file, "MAX_DURATION_S", 1)
    with pytest.raises(InputError, match="is longer than the 1 s allowed"):
        read_audio(path, RATE)


# --- places


@pytest.mark.skipif(sys.platform != "linux", reason="names of bytes are Linux's")
def test_names_that_are_not_utf8_are_read_and_written(tmp_path: Path) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    folder.mkdir()
    for name in ("a.wav", "a.flac", "a.ogg"):
        write_audio(folder / name, noise(0.1), RATE)
        assert len(read_audio(folder / name, RATE)) == pytest.approx(2205, abs=1)


@pytest.mark.parametrize("name", ["12:30.wav", "http:x.flac", "pipe:0.ogg"])
def test_colons_in_a_name_are_no_protocol(
    name: str, encoded: Encoded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_audio(name, noise(0.1), RATE)
    assert len(read_audio(name, RATE)) == pytest.approx(2205, abs=1)
    encoded(tmp_path / "12:30.m4a", "aac")
    assert len(read_audio("12:30.m4a", RATE)) > RATE


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg"])
@pytest.mark.parametrize("room", [0, 1000, 0.5, 0.99])
def test_full_disk_is_an_error_and_keeps_the_old_file(
    room: float, suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """libsndfile's close does not tell that the last page of an Ogg file was not written."""
    path = tmp_path / f"a{suffix}"
    samples = noise(0.5)
    write_audio(path, samples, RATE)
    whole = path.read_bytes()
    left = room if room > 1 or not room else int(room * len(whole))

    class Full:
        """A raw file on a disk with so much room."""

        def __init__(self, file: Any) -> None:
            self.file, self.left = file, left

        def write(self, data: memoryview) -> int:
            written = min(len(data), self.left)
            if not written:
                raise OSError(28, "No space left on device")
            self.left -= written
            return int(self.file.write(data[:written]))

        def __getattr__(self, name: str) -> Any:
            return getattr(self.file, name)

    sink = audio._Sink
    monkeypatch.setattr(audio, "_Sink", lambda file: sink(Full(file)))  # type: ignore[arg-type]
    with pytest.raises(InputError, match="No space left on device"):
        write_audio(path, samples, RATE)
    assert [other.name for other in tmp_path.iterdir()] == [path.name]
    assert path.read_bytes() == whole
