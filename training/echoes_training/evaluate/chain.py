"""Sounds and pictures out of a bundle, in batches, by the runtime that ships."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from echoes_rt import BundleError, Echoes
from echoes_rt.io.image import RgbArray
from echoes_training.data.audio import Samples
from echoes_training.data.index import Clip

Codes = NDArray[np.int32]


@dataclass(frozen=True, kw_only=True)
class Job:
    """One thing to make: the row whose picture or sound it is made from, and a seed."""

    clip: Clip
    seed: int


def batches(count: int, size: int) -> Iterator[slice]:
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))


def jobs_of(clips: Sequence[Clip], n_seeds: int, first_seed: int) -> list[Job]:
    """``n_seeds`` jobs of each row; no two have the same seed."""
    return [
        Job(clip=clip, seed=first_seed + i * n_seeds + k)
        for i, clip in enumerate(clips)
        for k in range(n_seeds)
    ]


def sounds_of(echoes: Echoes, codes: Iterable[Codes]) -> Iterator[Samples]:
    """(B, N_a) codes at a time to (B, S) samples."""
    for part in codes:
        yield decode_audio(echoes, part)


def pictures_of(echoes: Echoes, codes: Iterable[Codes]) -> Iterator[RgbArray]:
    """(B, N_i) codes at a time to (B, H, W, 3) pictures."""
    for part in codes:
        yield echoes.decode_image(part)


def vocode(echoes: Echoes, sounds: Sequence[Samples], batch_size: int) -> Iterator[Samples]:
    """The mels of real sounds through the vocoder alone, (B, S) at a time."""
    for part in batches(len(sounds), batch_size):
        yield echoes.vocode(echoes.log_mel(np.stack(sounds[part])))


def decode_audio(echoes: Echoes, codes: Codes) -> Samples:
    """Like the runtime's, but a sound that the runtime refuses comes back as NaN, to be counted."""
    try:
        return echoes.decode_audio(codes)
    except BundleError:
        if len(codes) == 1:
            n_samples = echoes.manifest.mel.n_samples
            return np.full((1, n_samples), np.nan, dtype=np.float32)
        return np.concatenate([decode_audio(echoes, one[None]) for one in codes])
