"""Sounds for training: decoded once, cut to one clip, varied anew at every step."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import soundfile
import soxr
import torch
from numpy.typing import NDArray
from torch import Tensor

from echoes_rt.errors import InputError
from echoes_rt.format.mel import MelSpec
from echoes_training.data.silence import events_first

Samples = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Variation:
    """How far a view may be from its clip.

    Attributes:
        shift_s: the longest rotation, in seconds.
        rms_dbfs: lowest and highest level, in dB of full scale; beyond it a clip is brought back.
        gain_db: how far the level then moves either way.
        speed: how far tempo and pitch together move either way, as a share.
        repeated: how often a sound that ends before its clip does is heard again and again.
    """

    shift_s: float
    rms_dbfs: tuple[float, float]
    gain_db: float
    speed: float
    repeated: float

    def draw_speed(self, rng: np.random.Generator) -> float:
        return 1 + rng.uniform(-1, 1) * self.speed

    def draw_shift(self, rng: np.random.Generator, spec: MelSpec) -> int:
        """In samples; none, half of the time."""
        if rng.random() >= 0.5:
            return 0
        longest_s = min(self.shift_s, spec.duration_s)
        return int(rng.integers(round(longest_s * spec.sample_rate)))

    def draw_gain_db(self, rng: np.random.Generator) -> float:
        return rng.uniform(-1, 1) * self.gain_db


HEARD = 1e-4
"""What is not louder than this is silence."""
WHOLE = 0.98
"""A clip that is heard up to here is taken to go on after its end; files of 5 s end here."""
REPEATS = ((0.6, 0.05), (1.0, 0.8))
"""Lowest and highest loudness of a sound that is heard again, and pause after it, in seconds."""

ANYWHERE = Variation(shift_s=np.inf, rms_dbfs=(-60.0, 0.0), gain_db=9.0, speed=0.12, repeated=0.7)
"""For codecs and vocoders, which are to take every sound as it comes."""
ALIGNED = Variation(shift_s=0.2, rms_dbfs=(-30.0, -16.0), gain_db=2.0, speed=0.06, repeated=1.0)
"""For what is to be generated: a rhythm is learnt soonest where its beats fall on the same codes,
and a clip that is hardly heard, or only at its beginning, teaches silence."""


class AudioStore:
    """Decodes clips on first use and keeps them as 16-bit mono in memory."""

    def __init__(self, spec: MelSpec) -> None:
        self.spec = spec
        self._kept: dict[tuple[str, float], NDArray[np.int16]] = {}

    def get(self, path: str, start: float) -> Samples:
        """(n_samples,) from ``start`` seconds on, silence after the end of the file.

        Raises:
            InputError: if the sound cannot be read; ``prepare`` lists only those that can.
        """
        key = (path, start)
        if key not in self._kept:
            try:
                samples = self._read(path, start)
            except (soundfile.SoundFileError, OSError) as error:
                raise InputError(
                    f"cannot read the sound {path}; run echoes-train prepare again"
                ) from error
            clip = np.zeros(self.spec.n_samples, np.int16)
            pcm = np.round(np.clip(samples[: len(clip)], -1, 1) * 32767)
            clip[: len(pcm)] = pcm
            self._kept[key] = clip
        return self._kept[key].astype(np.float32) / np.float32(32767)

    def _read(self, path: str, start: float) -> Samples:
        with soundfile.SoundFile(path) as file:
            file.seek(min(round(start * file.samplerate), file.frames))
            wanted = int(np.ceil(self.spec.duration_s * file.samplerate)) + 1
            samples = file.read(wanted, dtype="float32", always_2d=True).mean(axis=1)
            if file.samplerate != self.spec.sample_rate:
                samples = soxr.resample(samples, file.samplerate, self.spec.sample_rate)
        return np.asarray(samples, dtype=np.float32)

    def augmented(
        self, path: str, start: float, rng: np.random.Generator, variation: Variation
    ) -> Samples:
        """The clip from its first event on, varied; half of the time, rotated."""
        samples = events_first(self.get(path, start), self.spec.sample_rate)
        samples = resampled(samples, variation.draw_speed(rng))
        if rng.random() < variation.repeated:
            samples = repeated(samples, self.spec.sample_rate, draw_repeats(rng))
        samples = np.roll(samples, variation.draw_shift(rng, self.spec))
        rms = 10 * np.log10(float(np.square(samples).mean()) + 1e-12)
        level = np.clip(rms, *variation.rms_dbfs) + variation.draw_gain_db(rng)
        gain = min(10 ** ((level - rms) / 20), 1 / max(float(np.abs(samples).max()), 1e-4))
        return np.asarray(samples * gain, dtype=np.float32)


def resampled(samples: Samples, speed: float) -> Samples:
    """(S,) to (S,), played faster or slower; silence after the end.

    A clip that is heard to its end goes on with that end backwards: rain must not teach silence.
    """
    places = np.arange(len(samples)) * speed
    heard = np.flatnonzero(np.abs(samples) > HEARD)
    last = int(heard[-1]) if len(heard) else 0
    if last >= WHOLE * len(samples):
        places = np.minimum(places, 2 * last - places)
    return np.interp(places, np.arange(len(samples)), samples, right=0.0).astype(np.float32)


def draw_repeats(rng: np.random.Generator) -> Iterator[tuple[float, float]]:
    """How loud a sound is each time that it is heard, and how long the pause after it, in s."""
    while True:
        gain, pause_s = rng.uniform(*REPEATS)
        yield float(gain), float(pause_s)


def repeated(samples: Samples, sample_rate: int, repeats: Iterator[tuple[float, float]]) -> Samples:
    """(S,) to (S,): a sound that ends before the clip does is heard again after pauses."""
    heard = np.flatnonzero(np.abs(samples) > HEARD)
    length = int(heard[-1]) + 1 if len(heard) else len(samples)
    if length >= WHOLE * len(samples):
        return samples
    event, result, at = samples[:length], np.zeros_like(samples), 0
    while at < len(samples):
        room = min(length, len(samples) - at)
        gain, pause_s = next(repeats)
        result[at : at + room] = event[:room] * gain
        at += length + int(pause_s * sample_rate)
    return result


def to_batch(clips: list[Samples]) -> Tensor:
    """(S,) clips to (B, S)."""
    return torch.from_numpy(np.stack(clips))
