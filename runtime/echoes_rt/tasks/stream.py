"""Sound of any length: windows slide over the token columns, each knows the last one's end."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from echoes_rt.decode.plan import FloatArray, IntArray
from echoes_rt.errors import BundleError, InputError
from echoes_rt.format.mel import MelSpec
from echoes_rt.format.sampling import Sampling
from echoes_rt.format.tokens import Grid
from echoes_rt.io.audio import write_audio
from echoes_rt.options import check_numbers
from echoes_rt.tasks.call import Call

MAX_DURATION_S = 24 * 3600
MAX_HELD_S = 3600
"""Of what is held in memory."""

CONTEXT_FRAMES = 32
"""Mel frames on either side that a vocoder may look at; ours sees 24."""

SEAM_FRAMES = 8
"""Over these the samples of neighbouring chunks are blended: the phases of a vocoder's tones run on
within a chunk and start anew with each."""

_KNEE = np.float32(0.8)

ImageAt = Callable[[float], IntArray]
"""(1, N_i) codes of what is to be heard from that second on."""

OnWindow = Callable[[IntArray], None]
"""Is told the (N_a,) codes of each window as soon as it is decoded."""


@dataclass(frozen=True, kw_only=True, repr=False)
class Stream(Iterator[FloatArray]):
    """A sound that is made as it is asked for, once: an iterator of (S_k,) chunks in [-1, 1].

    Attributes:
        duration_s: seconds in all; None never ends.
        timings_ms: as in a ``Sound``, so far.
        confidence: as of a ``Sound``; None also where the pictures change.
    """

    chunks: Iterator[FloatArray]
    duration_s: float | None
    sample_rate: int
    seed: int
    sampling: Sampling
    bundle: str
    device: str
    timings_ms: dict[str, float]
    confidence: float | None = None

    def __repr__(self) -> str:
        length = "endless" if self.duration_s is None else f"{self.duration_s:.2f} s"
        rate = f"{length} at {self.sample_rate} Hz"
        return f"Stream({rate}, seed {self.seed}, {self.bundle} on {self.device})"

    def __next__(self) -> FloatArray:
        return next(self.chunks)

    def save(self, path: Path | str) -> Path:
        """Writes WAV, FLAC, OGG or MP3 of all that is left, in constant memory.

        Raises:
            InputError: for an unknown suffix, a place that cannot be written, or no end.
        """
        if self.duration_s is None:
            raise InputError("a stream without end cannot be saved; give it a duration")
        return write_audio(path, self, self.sample_rate)


@dataclass(frozen=True, kw_only=True)
class Past:
    """What was heard before: the last columns' (rows, C) codes and their (n_mels, T) log-mel."""

    codes: IntArray
    mel: FloatArray


def overlap_columns(n_columns: int) -> int:
    """How many columns a window knows from the one before: a third."""
    return max(1, n_columns // 3)


def dropped_columns(n_columns: int) -> int:
    """How many columns at a window's end are never heard, unless it is the last: a ninth.

    Clips that a model learns from tend to fade out, and nothing shall fade where sound goes on.
    """
    return n_columns // 9


def fresh_columns(n_columns: int) -> int:
    """By how many columns the windows of a stream follow one another."""
    return max(1, n_columns - overlap_columns(n_columns) - dropped_columns(n_columns))


def check_duration(duration_s: float, most_s: int = MAX_DURATION_S) -> None:
    """Raises InputError if no sound of that length can be made."""
    check_numbers(duration=duration_s)
    if not 0 < duration_s <= most_s:  # also refuses NaN
        raise InputError(f"duration must be in (0, {most_s}] seconds, got {duration_s:g}")


def count_windows(mel: MelSpec, audio: Grid, duration_s: float) -> int:
    """How many windows a stream of that length takes."""
    columns = duration_s * mel.sample_rate * audio.width / mel.n_samples
    return 1 + max(0, math.ceil((columns - audio.width) / fresh_columns(audio.width)))


def stream(
    call: Call,
    image_at: ImageAt | None,
    n_samples: int | None,
    past: Past | None = None,
    on_window: OnWindow | None = None,
) -> Iterator[FloatArray]:
    """Chunks of (S_k,) samples in [-1, 1]; together ``n_samples``, or without end if None.

    Memory does not grow with the length. The log-mels of neighbouring windows are blended where
    they overlap, the vocoder always sees the frames round a chunk, and the samples of neighbouring
    chunks are blended: there is no seam in the waveform.

    Args:
        call: seeds and dials; each window has noise of its own.
        image_at: the picture by second of the stream; None: no picture is given.
        n_samples: the length.
        past: what the stream continues; it is not part of what is given out.
        on_window: who wants to hear of the codes.
    """
    if call.model.manifest.tokens.audio.width < 2:
        raise BundleError(
            f"bundle {call.model.manifest.name} has one token column a clip; long sound needs two"
        )
    call.load("mel_decoder", "vocoder", target="audio")
    done = 0
    for samples in _vocoded(call, _blended(call, image_at, n_samples, past, on_window), past):
        part = samples if n_samples is None else samples[: n_samples - done]
        done += len(part)
        if len(part):
            yield _limited(part)


def _blended(
    call: Call,
    image_at: ImageAt | None,
    n_samples: int | None,
    past: Past | None,
    on_window: OnWindow | None,
) -> Iterator[FloatArray]:
    """Log-mels (n_mels, T) that are final; together they are the stream's, or a little more."""
    grid = call.model.manifest.tokens.audio
    mel_spec = call.model.manifest.mel
    frames_per_column = mel_spec.n_frames // grid.width
    n_fresh, n_overlap = fresh_columns(grid.width), overlap_columns(grid.width)
    known = None if past is None else past.codes
    tail = None if past is None else past.mel
    given = 0 if past is None else -past.mel.shape[1]  # frames of the stream that were given out
    image = None
    for window in itertools.count():
        if image_at is not None:
            image = image_at(max(0, given) / mel_spec.frame_rate)
        codes = _window(call, image, known, window)
        if on_window is not None:
            on_window(codes.reshape(-1))
        with call.clock.stage("decode_audio"):
            mel = call.model.decode_mel(codes.reshape(1, -1), seeds=[call.seed], window=window)[0]
        if tail is not None:
            n_shared = tail.shape[1]
            rising = (np.arange(n_shared, dtype=np.float32) + 1) / (n_shared + 1)
            mel[:, :n_shared] = tail * (1 - rising) + mel[:, :n_shared] * rising
        is_last = (
            n_samples is not None and (given + mel.shape[1]) * mel_spec.hop_length >= n_samples
        )
        end = mel.shape[1] if is_last else n_fresh * frames_per_column
        yield mel[:, max(0, -given) : end]
        if is_last:
            return
        given += end
        known = codes[:, n_fresh : n_fresh + n_overlap]
        tail = mel[:, end : end + n_overlap * frames_per_column]


def _window(call: Call, image: IntArray | None, known: IntArray | None, window: int) -> IntArray:
    """(rows, columns) audio codes, of which the first columns may be ``known``."""
    grid = call.model.manifest.tokens.audio
    audio = call.unknown("audio").reshape(grid.height, grid.width)
    if known is not None:
        audio[:, : known.shape[1]] = known
    codes = call.decode("audio", audio.reshape(1, -1), image, [call.seed], window)
    return codes.reshape(grid.height, grid.width)


def _vocoded(call: Call, mels: Iterator[FloatArray], past: Past | None) -> Iterator[FloatArray]:
    """Samples of each log-mel as soon as the frames after it are known."""
    hop = call.model.manifest.mel.hop_length
    buffer = np.empty((call.model.manifest.mel.n_mels, 0), dtype=np.float32)
    n_before = 0  # frames of the buffer that are there for context alone
    tail = np.empty(0, dtype=np.float32)  # what the chunk before has of the next one's samples
    if past is not None:
        buffer = past.mel[:, -CONTEXT_FRAMES:]
        n_before = buffer.shape[1]
    for mel in mels:
        buffer = np.concatenate([buffer, mel], axis=1)
        end = buffer.shape[1] - CONTEXT_FRAMES
        if end > n_before:
            samples = _joined(tail, _vocode(call, buffer)[n_before * hop :])
            seam = (end - n_before) * hop
            yield samples[:seam]
            tail = samples[seam : seam + SEAM_FRAMES * hop]
            start = max(0, end - CONTEXT_FRAMES)
            buffer, n_before = buffer[:, start:], end - start
    yield _joined(tail, _vocode(call, buffer)[n_before * hop :])


def _vocode(call: Call, mel: FloatArray) -> FloatArray:
    with call.clock.stage("decode_audio"):
        return np.asarray(call.model.vocode(mel[None])[0])


def _joined(tail: FloatArray, samples: FloatArray) -> FloatArray:
    """The samples, which ``tail`` goes over to."""
    n = min(len(tail), len(samples))
    rising = (np.arange(n, dtype=np.float32) + 1) / (n + 1)
    return np.concatenate([tail[:n] * (1 - rising) + samples[:n] * rising, samples[n:]])


def _limited(samples: FloatArray) -> FloatArray:
    """Bends what is above the knee below 1: a stream cannot be scaled by a peak yet to come."""
    size = np.abs(samples)
    bent = _KNEE + (1 - _KNEE) * np.tanh((size - _KNEE) / (1 - _KNEE))
    return np.asarray(np.where(size > _KNEE, np.sign(samples) * bent, samples), dtype=np.float32)
