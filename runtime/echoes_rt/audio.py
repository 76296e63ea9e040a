"""Reading, analysing and writing sound."""

from __future__ import annotations

import secrets
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from echoes_rt.errors import InputError
from echoes_rt.spec.mel import MelSpec, hann_window, log_scale, mel_filterbank

FloatArray = NDArray[np.float32]

_FORMATS = {".wav": ("WAV", "PCM_16"), ".flac": ("FLAC", "PCM_16"), ".ogg": ("OGG", "VORBIS")}

MAX_DURATION_S = 3600

# libsndfile's Vorbis encoder overflows its stack when it is given minutes at once.
_BLOCK_SAMPLES = 1 << 16


def read_audio(path: Path | str, sample_rate: int) -> FloatArray:
    """Any format of libsndfile, mixed to one channel and resampled.

    Returns:
        (S,) at ``sample_rate``.

    Raises:
        InputError: if the file cannot be read, is empty or longer than an hour.
    """
    path = Path(path)
    try:
        if not path.is_file():
            raise InputError(f"no sound file at {path}")
        with soundfile.SoundFile(path) as file:
            if file.frames > MAX_DURATION_S * file.samplerate:
                raise InputError(f"sound {path} is longer than the {MAX_DURATION_S} s allowed")
            samples = file.read(dtype="float32", always_2d=True)
            source_rate = file.samplerate
    except (soundfile.LibsndfileError, OSError) as error:
        raise InputError(f"{path} is not a sound that can be read: {error}") from error
    if not len(samples):
        raise InputError(f"sound {path} is empty")
    mono = samples.mean(axis=1)
    if source_rate != sample_rate:
        mono = soxr.resample(mono, source_rate, sample_rate)
    return np.asarray(mono, dtype=np.float32)


def log_mel(samples: FloatArray, spec: MelSpec) -> FloatArray:
    """The log-mel spectrogram that ``spec`` defines.

    Args:
        samples: (S,) with S above ``n_fft // 2``, which reflect padding needs.
        spec: every parameter of it.

    Returns:
        (n_mels, S // hop_length) in [-1, 1]; frame ``t`` is centred on sample ``t * hop_length``,
        and the frame that would be centred on the end is left out.
    """
    padded = np.pad(samples, spec.n_fft // 2, mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, spec.n_fft)[:: spec.hop_length]
    frames = frames[: len(samples) // spec.hop_length]
    magnitudes = np.abs(np.fft.rfft(frames * hann_window(spec)))  # (T, n_fft // 2 + 1)
    return log_scale(np.asarray(mel_filterbank(spec) @ magnitudes.T, dtype=np.float32))


def clip_mel(samples: FloatArray, spec: MelSpec) -> FloatArray:
    """Log-mel of the first clip of a sound, padded with silence if it is shorter.

    Returns:
        (n_mels, n_frames).
    """
    clip = np.zeros(spec.n_samples, dtype=np.float32)
    length = min(len(samples), spec.n_samples)
    clip[:length] = samples[:length]
    return log_mel(clip, spec)


def check_writable(path: Path | str) -> Path:
    """Says now, before any work, whether ``write_audio`` would fail.

    Raises:
        InputError: for an unknown suffix or a place that cannot be written.
    """
    path = Path(path)
    _format_of(path)
    try:
        if path.is_dir():
            raise InputError(f"cannot write {path}: it is a folder; give a file name")
        if path.exists() and not path.is_file():
            raise InputError(f"cannot write {path}: it is not a regular file")
        if not path.parent.is_dir():
            raise InputError(
                f"cannot write {path}: there is no folder {path.parent}; make it first"
            )
        partial = _partial_path(path)
        partial.open("xb").close()
        partial.unlink()
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from error
    return path


def write_audio(path: Path | str, samples: FloatArray, sample_rate: int) -> Path:
    """Writes (S,) samples in [-1, 1] as 16-bit WAV or FLAC, or Ogg Vorbis, by suffix.

    The file appears whole or not at all.

    Raises:
        InputError: for an unknown suffix or a place that cannot be written.
    """
    path = check_writable(path)
    container, encoding = _format_of(path)
    partial = _partial_path(path)
    try:
        with soundfile.SoundFile(
            partial, "w", sample_rate, channels=1, format=container, subtype=encoding
        ) as file:
            for start in range(0, len(samples), _BLOCK_SAMPLES):
                file.write(samples[start : start + _BLOCK_SAMPLES])
        partial.replace(path.resolve())
    except (soundfile.LibsndfileError, OSError) as error:
        raise InputError(f"cannot write {path}: {error}") from error
    finally:
        partial.unlink(missing_ok=True)
    return path


def _format_of(path: Path) -> tuple[str, str]:
    try:
        return _FORMATS[path.suffix.lower()]
    except KeyError:
        raise InputError(
            f"cannot write {path}: unknown suffix {path.suffix!r}; use {', '.join(_FORMATS)}"
        ) from None


def _partial_path(path: Path) -> Path:
    """Beside the target, so that renaming never crosses file systems."""
    return path.resolve().with_name(f".{secrets.token_hex(8)}.partial")
