"""Sounds out of a bundle, in batches, by the runtime that ships."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from echoes_rt import BundleError, Echoes
from echoes_rt.audio import clip_mel
from echoes_rt.spec.sampling import SamplingDefaults
from echoes_training.data.audio import Samples

Codes = NDArray[np.int32]


@dataclass(frozen=True, kw_only=True)
class Job:
    """One sound to make: a picture's file and a seed."""

    picture: str
    seed: int


def batches(count: int, size: int) -> Iterator[slice]:
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))


def generate(
    echoes: Echoes, jobs: Sequence[Job], sampling: SamplingDefaults, batch_size: int
) -> Iterator[Samples]:
    """(B, S) at a time, what ``Echoes.generate`` gives for each job alone."""
    layout = echoes.bundle.manifest.tokens
    seen: dict[str, Codes] = {}
    for part in batches(len(jobs), batch_size):
        members = jobs[part]
        for picture in {job.picture for job in members} - seen.keys():
            seen[picture] = echoes.encode_image(picture)[0]
        tokens = np.full((len(members), layout.n_tokens), layout.mask_token_id, dtype=np.int32)
        tokens[:, layout.image_slice] = np.stack([seen[job.picture] for job in members])
        mask = tokens == layout.mask_token_id
        seeds = [job.seed for job in members]
        tokens = echoes.decode_tokens(tokens, mask, seeds=seeds, sampling=sampling)
        yield decode_audio(echoes, tokens[:, layout.audio_slice])


def reconstruct(echoes: Echoes, codes: Codes, batch_size: int) -> Iterator[Samples]:
    """(N, N_a) codes of real sounds through the mel decoder and the vocoder, (B, S) at a time."""
    for part in batches(len(codes), batch_size):
        yield decode_audio(echoes, codes[part])


def vocode(echoes: Echoes, sounds: Sequence[Samples], batch_size: int) -> Iterator[Samples]:
    """The mels of real sounds through the vocoder alone, (B, S) at a time."""
    spec = echoes.manifest.mel
    for part in batches(len(sounds), batch_size):
        yield echoes.vocode(np.stack([clip_mel(sound, spec) for sound in sounds[part]]))


def decode_audio(echoes: Echoes, codes: Codes) -> Samples:
    """Like the runtime's, but a sound that the runtime refuses comes back as NaN, to be counted."""
    try:
        return echoes.decode_audio(codes)
    except BundleError:
        if len(codes) == 1:
            n_samples = echoes.bundle.manifest.mel.n_samples
            return np.full((1, n_samples), np.nan, dtype=np.float32)
        return np.concatenate([decode_audio(echoes, one[None]) for one in codes])
