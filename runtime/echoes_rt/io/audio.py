"""Reading, analysing and writing sound."""

from __future__ import annotations

import itertools
import logging
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from io import BytesIO, RawIOBase
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from echoes_rt.backends.lifetime import at_work
from echoes_rt.errors import InputError
from echoes_rt.io.av_file import said
from echoes_rt.io.output_file import check_place, check_suffix, replacing
from echoes_rt.io.sound_file import (
    MAX_DURATION_S,
    Depth,
    Samples,
    SoundSource,
    checked,
    open_sound,
)
from echoes_rt.io.source_file import MemoryFile, SourceFile, as_file

FloatArray = NDArray[np.float32]

_logger = logging.getLogger(__name__)

_FORMATS = {".wav": "WAV", ".flac": "FLAC", ".ogg": "OGG", ".mp3": "MP3"}

# The deepest samples that a format holds, where it does not hold all.
_DEEPEST: dict[str, str] = {"FLAC": "PCM_24"}
_FLOATS = ("FLOAT", "DOUBLE")
_MAX_CHANNELS = {"FLAC": 8, "OGG": 255, "WAV": 1024, "MP3": 2}
_LOSSY = {"OGG": "VORBIS", "MP3": "MPEG_LAYER_III"}
_MP3_RATES = (8000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)

SOUND_SUFFIXES = tuple(_FORMATS)
"""What can be written; what can be read is more: all that libsndfile knows, and some of FFmpeg."""

MAX_HELD_BYTES = 400_000_000
"""Of a recording that is held as a whole: 37 minutes of one channel at 44.1 kHz."""

# libsndfile's Vorbis encoder overflows its stack when it is given minutes at once.
_BLOCK_SAMPLES = 1 << 16

# To either side of a part, at the lower of two rates: soxr's filter ends within 128.
_RESAMPLER_SAMPLES = 256


@dataclass(frozen=True, kw_only=True)
class Recording:
    """A sound file as it is.

    Attributes:
        samples: (S, C), float64 where float32 would round.
        sample_rate: in Hz.
        depth: how the file holds them.
    """

    samples: Samples
    sample_rate: int
    depth: Depth


def read_recording(path: Path | str | MemoryFile) -> Recording:
    """Any sound that can be read, whole.

    Raises:
        InputError: if the file cannot be read, is empty, longer than an hour or larger than
            MAX_HELD_BYTES when decoded.
        BackendError: if PyAV is needed and missing.
    """
    path = as_file(path)
    with open_sound(path) as source:
        _check_held(path, source, source.n_frames or 0)
        held = bytearray()
        for block in source.blocks(0, None):
            held += checked(block, path).data.cast("B")
            _check_held(path, source, len(held) // source.frame_bytes)
        if not held:
            raise InputError(f"sound {path} is empty or cut off")
        samples = np.frombuffer(held, source.dtype).reshape(-1, source.channels)
        return Recording(samples=samples, sample_rate=source.sample_rate, depth=source.depth)


def _check_held(path: SourceFile, source: SoundSource, n_frames: int) -> None:
    if n_frames * source.frame_bytes > MAX_HELD_BYTES:
        raise InputError(
            f"sound {path} takes more than the {MAX_HELD_BYTES // 1_000_000} MB allowed when "
            f"decoded, by {source.channels} channels at {source.sample_rate} Hz; cut it"
        )


def read_sound(path: Path | str) -> tuple[FloatArray, int]:
    """``read_recording`` in float32: (S, C) and the sample rate in Hz."""
    recording = read_recording(path)
    return recording.samples.astype(np.float32, copy=False), recording.sample_rate


def to_mono(samples: FloatArray, sample_rate: int, wanted_rate: int) -> FloatArray:
    """(S, C) at one rate to (S,) at another."""
    return resample(samples.mean(axis=1), sample_rate, wanted_rate)


@at_work()
def resample(samples: FloatArray, sample_rate: int, wanted_rate: int) -> FloatArray:
    """(S,) or (S, C) at another rate, by soxr's high quality."""
    if sample_rate != wanted_rate:
        samples = soxr.resample(samples, sample_rate, wanted_rate)
    return np.asarray(samples, dtype=np.float32)


def read_audio(
    path: Path | str | MemoryFile,
    sample_rate: int,
    *,
    start_s: float = 0.0,
    n_samples: int | None = None,
) -> FloatArray:
    """Any sound that can be read, mixed to one channel and resampled: (S,) at ``sample_rate``.

    A part is what the whole has there, to float32's precision, and no more of the file is held than
    it needs.

    Args:
        path: as in ``read_recording``.
        sample_rate: in Hz.
        start_s: second of the file at which the samples begin.
        n_samples: how many at most; None: up to the end.

    Raises:
        InputError: as ``read_recording``, or if ``start_s`` is not within the sound.
        BackendError: as ``read_recording``.
    """
    path = as_file(path)
    with open_sound(path) as source:
        source_rate = source.sample_rate
        # Of some files only reading to the end tells how long they are.
        n_frames = source.n_frames
        longest = MAX_DURATION_S * source_rate if n_frames is None else n_frames
        check_start(start_s, longest, source_rate)
        first = round(start_s * sample_rate)
        margin = math.ceil(_RESAMPLER_SAMPLES * max(1, source_rate / sample_rate))
        # The file's frames lie exactly on samples of the other rate once in so many.
        period = source_rate // math.gcd(source_rate, sample_rate)
        begin = max(0, first * source_rate // sample_rate - margin) // period * period
        end = None
        if n_samples is not None:
            end = (first + n_samples) * source_rate // sample_rate + margin
            end = min(end, longest)
        mono = [
            checked(block, path).mean(axis=1, dtype=np.float32)
            for block in source.blocks(begin, end)
        ]
    part = np.concatenate([*mono, np.empty(0, np.float32)])
    samples = resample(part, source_rate, sample_rate) if len(part) else part
    samples = samples[first - begin * sample_rate // source_rate :][:n_samples]
    if not len(samples):  # the file ends before it says, or within half a sample of the start
        if source.n_frames:
            check_start(start_s, source.n_frames, source_rate)
        raise InputError(f"sound {path} is empty or cut off")
    return samples


def check_start(start_s: float, n_samples: int, sample_rate: int) -> None:
    """Raises InputError if a sound has no sample at that second."""
    if not 0 <= start_s * sample_rate <= max(0, n_samples - 1):
        raise InputError(
            f"start must be within the {n_samples / sample_rate:.2f} s of the sound, "
            f"got {start_s:g}"
        )


def check_sound_path(path: Path | str) -> Path:
    """Says now, before any work, whether ``write_audio`` would fail.

    Raises:
        InputError: for an unknown suffix or a place that cannot be written.
    """
    path = Path(path)
    check_suffix(path, "a sound", SOUND_SUFFIXES)
    check_place(path)
    return path


def write_audio(
    path: Path | str,
    chunks: Samples | Iterable[Samples],
    sample_rate: int,
    depth: Depth = "PCM_16",
) -> Path:
    """Writes samples as WAV, FLAC, Ogg Vorbis or MP3, by suffix; whole or not at all.

    Args:
        path: ends in one of SOUND_SUFFIXES.
        chunks: (S,) or (S, C) in [-1, 1], or an iterable of such, of which only one is held at a
            time.
        sample_rate: in Hz.
        depth: how WAV holds them; FLAC has 24 bits at most, Vorbis and MP3 no depth.

    Raises:
        InputError: for an unknown suffix or a place that cannot be written, or if the format cannot
            hold such a sound.
    """
    path = check_sound_path(path)
    stream = iter([chunks] if isinstance(chunks, np.ndarray) else chunks)
    first = next(stream)
    encode = _encoder(path, first, sample_rate, depth)
    try:
        with replacing(path) as partial, partial.open("rb+", buffering=0) as raw:
            encode(raw, itertools.chain([first], stream))
    except (soundfile.LibsndfileError, OSError) as error:
        raise InputError(f"cannot write {path}: {said(error)}") from error
    return path


def encode_audio(
    samples: Samples, sample_rate: int, format: str = "wav", depth: Depth = "PCM_16"
) -> bytes:
    """What ``write_audio`` would write to a file with the suffix ``format``."""
    name = Path(f"sound.{format}")
    check_suffix(name, "a sound", SOUND_SUFFIXES)
    encoded = BytesIO()
    try:
        _encoder(name, samples, sample_rate, depth)(encoded, [samples])
    except soundfile.LibsndfileError as error:
        raise InputError(f"cannot encode {format}: {said(error)}") from error
    return encoded.getvalue()


def _encoder(
    path: Path, first: Samples, sample_rate: int, depth: Depth
) -> Callable[[RawIOBase | BytesIO, Iterable[Samples]], None]:
    """What writes chunks like ``first`` to a file, in the format of the path's suffix.

    Raises:
        InputError: if the format cannot hold such a sound.
    """
    container = _FORMATS[path.suffix.lower()]
    channels = 1 if first.ndim == 1 else first.shape[1]
    if channels > _MAX_CHANNELS[container]:
        raise InputError(
            f"cannot write {path}: {container} holds {_MAX_CHANNELS[container]} channels, got "
            f"{channels}; use .wav"
        )
    if container == "MP3" and sample_rate not in _MP3_RATES:
        raise InputError(f"cannot write {path}: MP3 has no rate of {sample_rate} Hz; use .ogg")
    subtype = _subtype(path, container, depth)

    def encode(raw: RawIOBase | BytesIO, chunks: Iterable[Samples]) -> None:
        sink = _Sink(raw)
        with soundfile.SoundFile(
            sink, "w", sample_rate, channels, subtype, format=container
        ) as file:
            for chunk in chunks:
                for start in range(0, len(chunk), _BLOCK_SAMPLES):
                    block = chunk[start : start + _BLOCK_SAMPLES]
                    if depth in _FLOATS and subtype.startswith("PCM"):
                        _check_peak(block, path)
                    file.write(block)
                    sink.check()
        sink.check()

    return encode


class _Sink:
    """A file of which libsndfile's failed writes are known: its own close does not tell of them."""

    def __init__(self, file: RawIOBase | BytesIO) -> None:
        self._file = file
        self._error: OSError | None = None

    def write(self, data: Any) -> int:
        left = memoryview(data).cast("B")
        try:
            while len(left):
                left = left[self._file.write(left) :]
        except OSError as error:
            self._error = self._error or error
        return len(data)

    def check(self) -> None:
        """Raises the OSError of what could not be written."""
        if self._error is not None:
            raise self._error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def _subtype(path: Path, container: str, depth: Depth) -> str:
    if container in _LOSSY:
        return _LOSSY[container]
    subtype = depth if soundfile.check_format(container, depth) else _DEEPEST[container]
    if subtype != depth:
        _logger.warning(
            "%s holds %s, the recording's samples are %s: .wav keeps them", path, subtype, depth
        )
    return subtype


def _check_peak(block: Samples, path: Path) -> None:
    peak = float(np.abs(block).max(initial=0))
    if peak > 1:
        raise InputError(
            f"cannot write {path}: the recording has samples up to {peak:g}, the format ends at 1; "
            "use .wav"
        )
