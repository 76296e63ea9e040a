"""Sounds for training: decoded once, cut to one clip, varied anew at every step."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import soundfile
import soxr
import torch
from numpy.typing import NDArray
from torch import Tensor

from echoes_rt.errors import InputError
from echoes_rt.format.mel import MelSpec
from echoes_training.device import to_device

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


@dataclass(frozen=True, kw_only=True)
class SoundView:
    """How one clip is varied.

    Attributes:
        speed: of tempo and pitch together.
        is_repeated: whether a sound that ends before its clip does is heard again.
        repeats: (K, 2), how loud it is each time, and how long the pause after it, in seconds.
        shift: of the rotation, in samples.
        gain_db: how far the level is moved.
    """

    speed: float
    is_repeated: bool
    repeats: NDArray[np.float64]
    shift: int
    gain_db: float

    @classmethod
    def draw(cls, variation: Variation, spec: MelSpec, rng: np.random.Generator) -> "SoundView":
        """With as many repeats as the shortest sound could need, and half of the time no shift."""
        count = 1 + math.ceil(spec.duration_s / REPEATS[0][1])
        longest = round(min(variation.shift_s, spec.duration_s) * spec.sample_rate)
        return cls(
            speed=1 + rng.uniform(-1, 1) * variation.speed,
            is_repeated=bool(rng.random() < variation.repeated),
            repeats=rng.uniform(*REPEATS, size=(count, 2)),
            shift=int(rng.integers(longest)) if rng.random() < 0.5 else 0,
            gain_db=rng.uniform(-1, 1) * variation.gain_db,
        )


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
        """The clip from its first event on, as a view that is drawn of it."""
        samples = torch.from_numpy(events_first(self.get(path, start), self.spec.sample_rate))
        view = SoundView.draw(variation, self.spec, rng)
        return varied(samples[None], [view], variation, self.spec.sample_rate)[0].numpy()


def varied(x: Tensor, views: Sequence[SoundView], variation: Variation, sample_rate: int) -> Tensor:
    """(B, S) to (B, S), on their device: each sound as its view says."""
    numbers = [(v.speed, v.is_repeated, v.shift, v.gain_db) for v in views]
    table = to_device(torch.tensor(numbers, dtype=torch.float64), x.device)
    repeats = to_device(torch.from_numpy(np.stack([v.repeats for v in views])), x.device)
    speed, is_repeated, shift, gain_db = table[:, :, None].unbind(dim=1)
    x = resampled(x, speed)
    x = torch.where(is_repeated > 0, repeated(x, repeats, sample_rate), x)
    places = torch.arange(x.shape[1], device=x.device) - shift.long()
    x = x.gather(1, places % x.shape[1])
    rms = 10 * torch.log10(x.square().mean(dim=1, keepdim=True).double() + 1e-12)
    level = rms.clamp(*variation.rms_dbfs) + gain_db
    loudest = 1 / x.abs().amax(dim=1, keepdim=True).double().clamp(min=1e-4)
    return x * (10 ** ((level - rms) / 20)).minimum(loudest).float()


def resampled(x: Tensor, speed: Tensor) -> Tensor:
    """(B, S) to (B, S), played faster or slower at (B, 1) speeds; silence after the end.

    A clip that is heard to its end goes on with that end backwards: rain must not teach silence.
    """
    last = x.shape[1] - 1
    places = torch.arange(x.shape[1], device=x.device, dtype=torch.float64) * speed
    heard = _last_heard(x).clamp(min=0)
    goes_on = heard >= WHOLE * x.shape[1]
    places = torch.where(goes_on, places.minimum(2 * heard - places), places)
    before = places.floor()
    left = before.long()
    a, b = x.gather(1, left.clamp(max=last)), x.gather(1, (left + 1).clamp(max=last))
    return (a + (b - a) * (places - before).float()).masked_fill(places > last, 0.0)


def repeated(x: Tensor, repeats: Tensor, sample_rate: int) -> Tensor:
    """(B, S) to (B, S): a sound that ends before the clip does is heard again after pauses.

    Args:
        x: the sounds.
        repeats: (B, K, 2), loudness and the pause after it in seconds, each time that it is heard.
        sample_rate: in Hz.
    """
    size = x.shape[1]
    place = torch.arange(size, device=x.device)
    last = _last_heard(x)
    length = torch.where(last < 0, size, last + 1)
    gain, pause_s = repeats.unbind(dim=2)
    after = (length + (pause_s * sample_rate).long()).cumsum(dim=1)
    start = torch.cat([torch.zeros_like(length), after[:, :-1]], dim=1)
    number = torch.searchsorted(start, place.expand(len(x), -1).contiguous(), right=True) - 1
    offset = place - start.gather(1, number)
    again = x.gather(1, offset.clamp(max=size - 1)) * gain.float().gather(1, number)
    return torch.where(length >= WHOLE * size, x, again.masked_fill(offset >= length, 0.0))


def _last_heard(x: Tensor) -> Tensor:
    """(B, S) to (B, 1): the last sample that is no silence, -1 if all are."""
    places = torch.arange(x.shape[1], device=x.device)
    return places.where(x.abs() > HEARD, -1).amax(dim=1, keepdim=True)


def to_batch(clips: list[Samples]) -> Tensor:
    """(S,) clips to (B, S)."""
    return torch.from_numpy(np.stack(clips))


FRAME_S = 0.01
QUIET_DB = 50.0
"""A frame this far below the loudest one is silence."""
LONGEST_S = 0.6
"""Pauses between barks or ticks are shorter and stay as they are."""


def events_first(samples: Samples, sample_rate: int) -> Samples:
    """(S,) to (S,): starts at the first event; long pauses are cut down, silence fills the end.

    Recordings of short events are padded with digital silence anywhere. Silence is the easiest
    code to predict, so a generator that sees it at every place answers with nothing at all; where
    every sound begins at once, silence can only follow something.
    """
    hop = round(FRAME_S * sample_rate)
    n_frames = len(samples) // hop
    power = np.square(samples[: n_frames * hop].reshape(n_frames, hop)).mean(axis=1)
    kept = np.ones(n_frames, np.bool_)
    longest = round(LONGEST_S / FRAME_S)
    for start, end in _runs(power <= power.max(initial=0.0) * 10 ** (-QUIET_DB / 10)):
        if start == 0:
            kept[:end] = False
        elif end - start > longest:
            # Half of the pause stays on either side: the tail of one event, the breath of the next.
            kept[start + longest // 2 : end - longest // 2] = False
    if kept.all() or not kept.any():
        return samples
    heard = samples[: n_frames * hop].reshape(n_frames, hop)[kept].reshape(-1)
    return np.pad(heard, (0, len(samples) - len(heard))).astype(np.float32)


def _runs(flags: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """The [start, end) of each stretch that is true."""
    edges = np.flatnonzero(np.diff(flags.astype(np.int8), prepend=0, append=0))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]
