"""Sounds that lie on a GPU and are augmented there, all of a batch at once."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from echoes_rt.format.mel import MelSpec
from echoes_training.data.audio import HEARD, REPEATS, WHOLE, AudioStore, Variation
from echoes_training.data.index import Clip
from echoes_training.data.resident import loaded, placed
from echoes_training.data.silence import events_first
from echoes_training.device import to_device


@dataclass(frozen=True, kw_only=True)
class SoundView:
    """How ``AudioStore.augmented`` varies one clip; ``repeats`` (K, 2) are loudness and pause."""

    speed: float
    is_repeated: bool
    repeats: NDArray[np.float64]
    shift: int
    gain_db: float

    @classmethod
    def draw(cls, variation: Variation, spec: MelSpec, rng: np.random.Generator) -> "SoundView":
        """From the store's distribution; as many repeats as the shortest sound could need."""
        shortest_s = REPEATS[0][1]
        count = 1 + math.ceil(spec.duration_s / shortest_s)
        return cls(
            speed=variation.draw_speed(rng),
            is_repeated=bool(rng.random() < variation.repeated),
            repeats=rng.uniform(*REPEATS, size=(count, 2)),
            shift=variation.draw_shift(rng, spec),
            gain_db=variation.draw_gain_db(rng),
        )


class ResidentSounds:
    """Clips as one (M, S) int16 tensor, each from its first event on."""

    def __init__(self, store: AudioStore, clips: Sequence[Clip], device: torch.device) -> None:
        self.spec = store.spec
        self.device = device
        keys = list(dict.fromkeys((str(clip.audio), clip.start) for clip in clips))
        self._row = {key: row for row, key in enumerate(keys)}

        def load(key: tuple[str, float]) -> NDArray[np.int16]:
            samples = events_first(store.get(*key), self.spec.sample_rate)
            return np.round(samples * 32767).astype(np.int16)

        self._samples = placed(np.stack(loaded(load, keys)), device)

    def varied(
        self, clips: Sequence[Clip], views: Sequence[SoundView], variation: Variation
    ) -> Tensor:
        """(B, S): each clip as its view says."""
        rows = [self._row[str(clip.audio), clip.start] for clip in clips]
        numbers = [
            (row, v.speed, v.is_repeated, v.shift, v.gain_db)
            for row, v in zip(rows, views, strict=True)
        ]
        table = to_device(torch.tensor(numbers, dtype=torch.float64), self.device)
        repeats = to_device(torch.from_numpy(np.stack([v.repeats for v in views])), self.device)
        row, speed, is_repeated, shift, gain_db = table[:, :, None].unbind(dim=1)
        x = _resampled(self._samples[row[:, 0].long()].float() / 32767, speed)
        x = torch.where(is_repeated > 0, _repeated(x, repeats, self.spec.sample_rate), x)
        places = torch.arange(x.shape[1], device=x.device) - shift.long()
        x = x.gather(1, places % x.shape[1])
        rms = 10 * torch.log10(x.square().mean(dim=1, keepdim=True).double() + 1e-12)
        level = rms.clamp(*variation.rms_dbfs) + gain_db
        loudest = 1 / x.abs().amax(dim=1, keepdim=True).double().clamp(min=1e-4)
        return x * (10 ** ((level - rms) / 20)).minimum(loudest).float()


def _resampled(x: Tensor, speed: Tensor) -> Tensor:
    """``audio.resampled`` of (B, S), at (B, 1) speeds."""
    last = x.shape[1] - 1
    places = torch.arange(x.shape[1], device=x.device, dtype=torch.float64) * speed
    heard = _last_heard(x).clamp(min=0)
    goes_on = heard >= WHOLE * x.shape[1]
    places = torch.where(goes_on, places.minimum(2 * heard - places), places)
    before = places.floor()
    left = before.long()
    a, b = x.gather(1, left.clamp(max=last)), x.gather(1, (left + 1).clamp(max=last))
    return (a + (b - a) * (places - before).float()).masked_fill(places > last, 0.0)


def _repeated(x: Tensor, repeats: Tensor, sample_rate: int) -> Tensor:
    """``audio.repeated`` of (B, S), with (B, K, 2) repeats."""
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
