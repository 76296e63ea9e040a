"""Reading, analysing and writing sound."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from echoes_rt.errors import InputError
from echoes_rt.output_file import check_place, check_suffix, replacing

FloatArray = NDArray[np.float32]

_FORMATS = {".wav": ("WAV", "PCM_16"), ".flac": ("FLAC", "PCM_16"), ".ogg": ("OGG", "VORBIS")}

# Endings that libsndfile reads under the name of another format.
_OTHER_SOUND_SUFFIXES = {"aif", "aifc", "oga", "opus", "snd"}

SOUND_SUFFIXES = tuple(_FORMATS)
"""What can be written; what can be read is more: all that libsndfile knows."""

MAX_DURATION_S = 3600

# libsndfile's Vorbis encoder overflows its stack when it is given minutes at once.
_BLOCK_SAMPLES = 1 << 16

# To either side of a part, at the lower of two rates: soxr's filter ends within 128.
_RESAMPLER_SAMPLES = 256


def is_sound_path(path: Path | str) -> bool:
    """Whether the suffix is one of a sound format, so that it cannot be meant as a picture."""
    suffix = Path(path).suffix.lower().lstrip(".")
    return suffix.upper() in soundfile.available_formats() or suffix in _OTHER_SOUND_SUFFIXES


def read_sound(path: Path | str) -> tuple[FloatArray, int]:
    """Any format of libsndfile, as it is.

    Returns:
        (S, C) and the sample rate in Hz.

    Raises:
        InputError: if the file cannot be read, is empty or longer than an hour.
    """
    with _opened(Path(path)) as file:
        return _part(file, 0, file.frames), int(file.samplerate)


@contextmanager
def _opened(path: Path) -> Iterator[soundfile.SoundFile]:
    try:
        if not path.is_file():
            raise InputError(f"no sound file at {path}")
        if path.suffix.lower() == ".raw":
            raise InputError(
                f"{path} is not a sound that can be read: raw samples do not say their rate; "
                "make a .wav of them"
            )
        with soundfile.SoundFile(path) as file:
            if file.frames > MAX_DURATION_S * file.samplerate:
                raise InputError(f"sound {path} is longer than the {MAX_DURATION_S} s allowed")
            yield file
    except (soundfile.LibsndfileError, OSError) as error:
        raise InputError(f"{path} is not a sound that can be read: {error}") from error


def _part(file: soundfile.SoundFile, begin: int, end: int) -> FloatArray:
    """(S, C) of the frames [begin, end), or fewer where the file is cut off."""
    if file.seekable():
        file.seek(begin)
    else:  # GSM and some ADPCM can only be read from the start
        for block in range(0, begin, _BLOCK_SAMPLES):
            file.read(min(_BLOCK_SAMPLES, begin - block))
    samples = file.read(end - begin, dtype="float32", always_2d=True)
    if not len(samples):
        raise InputError(f"sound {file.name} is empty or cut off")
    if not np.isfinite(samples).all():
        raise InputError(f"sound {file.name} has samples that are not numbers")
    return np.asarray(samples)


def to_mono(samples: FloatArray, sample_rate: int, wanted_rate: int) -> FloatArray:
    """(S, C) at one rate to (S,) at another."""
    return resample(samples.mean(axis=1), sample_rate, wanted_rate)


def resample(samples: FloatArray, sample_rate: int, wanted_rate: int) -> FloatArray:
    """(S,) or (S, C) at another rate, by soxr's high quality."""
    if sample_rate != wanted_rate:
        samples = soxr.resample(samples, sample_rate, wanted_rate)
    return np.asarray(samples, dtype=np.float32)


def read_audio(
    path: Path | str, sample_rate: int, *, start_s: float = 0.0, n_samples: int | None = None
) -> FloatArray:
    """Any format of libsndfile, mixed to one channel and resampled: (S,) at ``sample_rate``.

    A part is what the whole has there, to float32's precision, and no more of the file is read than
    it needs.

    Args:
        path: as in ``read_sound``.
        sample_rate: in Hz.
        start_s: second of the file at which the samples begin.
        n_samples: how many at most; None: up to the end.

    Raises:
        InputError: as ``read_sound``, or if ``start_s`` is not within the sound.
    """
    with _opened(Path(path)) as file:
        source_rate = file.samplerate
        check_start(start_s, file.frames, source_rate)
        first = round(start_s * sample_rate)
        margin = math.ceil(_RESAMPLER_SAMPLES * max(1, source_rate / sample_rate))
        # The file's frames lie exactly on samples of the other rate once in so many.
        period = source_rate // math.gcd(source_rate, sample_rate)
        begin = max(0, first * source_rate // sample_rate - margin) // period * period
        end = file.frames
        if n_samples is not None:
            end = min(end, (first + n_samples) * source_rate // sample_rate + margin)
        samples = to_mono(_part(file, begin, end), source_rate, sample_rate)
    samples = samples[first - begin * sample_rate // source_rate :][:n_samples]
    if not len(samples):  # the file ends before it says, or within half a sample of the start
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
    check_suffix(path, SOUND_SUFFIXES)
    check_place(path)
    return path


def write_audio(
    path: Path | str, chunks: FloatArray | Iterable[FloatArray], sample_rate: int
) -> Path:
    """Writes samples in [-1, 1] as 16-bit WAV or FLAC, or Ogg Vorbis, by suffix.

    The file appears whole or not at all.

    Args:
        path: ends in one of SOUND_SUFFIXES.
        chunks: (S,) or (S, C), or an iterable of such, of which only one is held at a time.
        sample_rate: in Hz.

    Raises:
        InputError: for an unknown suffix or a place that cannot be written.
    """
    path = check_sound_path(path)
    container, encoding = _FORMATS[path.suffix.lower()]
    stream = iter([chunks] if isinstance(chunks, np.ndarray) else chunks)
    first = next(stream)
    try:
        with (
            replacing(path) as partial,
            soundfile.SoundFile(
                partial,
                "w",
                sample_rate,
                channels=1 if first.ndim == 1 else first.shape[1],
                format=container,
                subtype=encoding,
            ) as file,
        ):
            for chunk in itertools.chain([first], stream):
                for start in range(0, len(chunk), _BLOCK_SAMPLES):
                    file.write(chunk[start : start + _BLOCK_SAMPLES])
    except (soundfile.LibsndfileError, OSError) as error:
        raise InputError(f"cannot write {path}: {error}") from error
    return path
