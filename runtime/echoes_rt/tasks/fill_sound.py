"""Filling in a part of a recording, and going on after its end."""

from __future__ import annotations

import math
from collections import deque
from typing import cast

import numpy as np

from echoes_rt.decode.plan import FloatArray, IntArray
from echoes_rt.errors import InputError
from echoes_rt.format.sampling import Sampling
from echoes_rt.io.audio import Recording, resample, to_mono
from echoes_rt.io.sound_file import Samples
from echoes_rt.results import Sound
from echoes_rt.tasks.call import DECODERS, ENCODERS, Call
from echoes_rt.tasks.stream import MAX_HELD_S, Past, check_duration, overlap_columns, stream

FADE_S = 0.02
"""Length of the cross-fade at a seam, taken from what was given: a click is shorter."""


def inpaint(
    call: Call, recording: Recording, start_s: float, stop_s: float, image: IntArray | None
) -> Sound:
    """Makes [start_s, stop_s) anew in the recording's own array, and leaves the rest as it is.

    The model sees float32; of what it makes only what is new is taken.
    """
    samples, rate = recording.samples, recording.sample_rate
    mel_spec, grid = call.model.manifest.mel, call.model.manifest.tokens.audio
    duration_s = len(samples) / rate
    if not 0 <= start_s < stop_s <= duration_s + 1e-6:
        raise InputError(
            f"the part to fill in must lie within the {duration_s:.2f} s of the sound, got "
            f"{start_s:g} s to {stop_s:g} s"
        )
    # The model sees a clip; whole seconds, because all rates have samples there.
    seen_s = mel_spec.duration_s + 1
    begin_s = max(0, math.floor(start_s - seen_s))
    part = samples[begin_s * rate : math.ceil(stop_s + seen_s) * rate]
    start_s, stop_s = start_s - begin_s, stop_s - begin_s
    original = part.astype(np.float32)
    per_column = mel_spec.n_samples // grid.width
    mono = to_mono(original, rate, mel_spec.sample_rate)
    first, last = round(start_s * mel_spec.sample_rate), round(stop_s * mel_spec.sample_rate)
    begin = _window_start(len(mono), first, last, mel_spec.n_samples)
    columns = slice((first - begin) // per_column, -(-(last - begin) // per_column))
    most = max(1, grid.width - 2)  # something must be left to go by
    if columns.stop - columns.start > most:
        most_s = (most - 1) * per_column / mel_spec.sample_rate  # wherever the columns lie
        raise InputError(
            f"at most {most_s:.2f} s can be filled in at once, got {stop_s - start_s:g} s; "
            "give a shorter part, or use continue"
        )
    clip = mono[begin : begin + mel_spec.n_samples]
    call.load(*ENCODERS["audio"], *DECODERS["audio"], target="audio")
    with call.clock.stage("encode_audio"):
        mel = call.model.clip_mel(clip)
        known = call.model.encode_mel(mel[None])[0].reshape(grid.height, grid.width)
    known[:, columns] = grid.mask_token
    tokens = known.reshape(1, -1)
    sampling = call.sampling("audio", tokens)
    codes = call.decode("audio", tokens, image, [call.seed])
    frames = slice(*(c * (mel_spec.n_frames // grid.width) for c in (columns.start, columns.stop)))
    with call.clock.stage("decode_audio"):
        # Outside of the part the vocoder sees what was really there.
        mel[:, frames] = call.model.decode_mel(codes, seeds=[call.seed])[0][:, frames]
        made = call.model.vocode(mel[None])[0]
    patched = _patched(original, rate, made, mel_spec.sample_rate, begin, start_s, stop_s)
    is_new = patched != original
    part[is_new] = patched[is_new]
    return _sound(call, recording, samples, codes[0], sampling)


def extend(call: Call, recording: Recording, more_s: float, image: IntArray | None) -> Sound:
    """The recording and ``more_s`` seconds that follow from its last clip.

    The codes that come with it are those of the last window: its first columns are known, the
    others are the end of what was added.
    """
    samples, rate = recording.samples, recording.sample_rate
    mel_spec, grid = call.model.manifest.mel, call.model.manifest.tokens.audio
    check_duration(more_s, MAX_HELD_S)
    per_column = mel_spec.n_samples // grid.width
    tail = samples[-math.ceil(mel_spec.duration_s * rate) :].astype(np.float32)
    mono = to_mono(tail, rate, mel_spec.sample_rate)
    clip = mono[-mel_spec.n_samples :]
    clip = np.pad(clip, (mel_spec.n_samples - len(clip), 0))  # its end is what counts
    call.load(*ENCODERS["audio"], *DECODERS["audio"], target="audio")
    with call.clock.stage("encode_audio"):
        mel = call.model.log_mel(clip[None])[0]
        codes = call.model.encode_mel(mel[None])[0].reshape(grid.height, grid.width)
    n_known = min(overlap_columns(grid.width), max(1, len(mono) // per_column))
    n_frames = n_known * mel_spec.n_frames // grid.width
    past = Past(codes=codes[:, -n_known:], mel=mel[:, -n_frames:])
    image_at = None if image is None else lambda _: image
    windows: deque[IntArray] = deque(maxlen=1)
    n_samples = max(1, round(more_s * mel_spec.sample_rate))
    made = np.concatenate([*stream(call, image_at, n_samples, past, windows.append)])
    made = resample(made, mel_spec.sample_rate, rate)
    added = np.repeat(made[:, None], tail.shape[1], axis=1)
    _join(tail[-1], added, round(FADE_S * rate))
    sampling = call.model.sampling(grid.n_tokens, call.options)
    longer = cast(Samples, np.concatenate([samples, added]))
    return _sound(call, recording, longer, windows[-1], sampling)


def _sound(
    call: Call, like: Recording, samples: Samples, codes: IntArray, sampling: Sampling
) -> Sound:
    return Sound(
        samples=samples,
        sample_rate=like.sample_rate,
        depth=like.depth,
        codes=codes,
        sampling=sampling,
        **call.origin(),
    )


def _window_start(n_samples: int, first: int, last: int, n_window: int) -> int:
    """Where a window lies best round [first, last): in the middle, but within the recording."""
    middle = (first + last - n_window) // 2
    return max(0, min(middle, n_samples - n_window))


def _patched(
    original: FloatArray,
    sample_rate: int,
    made: FloatArray,
    made_rate: int,
    made_from: int,
    start_s: float,
    stop_s: float,
) -> FloatArray:
    """The (S, C) original with [start_s, stop_s) from (S',) ``made``, which begins at a sample."""
    new = resample(made, made_rate, sample_rate)
    offset = round(made_from * sample_rate / made_rate)
    fade = round(FADE_S * sample_rate)
    first, last = round(start_s * sample_rate), min(round(stop_s * sample_rate), len(original))
    share = np.zeros(len(original), dtype=np.float32)
    share[first:last] = 1
    rising = (np.arange(fade, dtype=np.float32) + 1) / (fade + 1)
    before, after = min(fade, first), min(fade, len(original) - last)
    share[first - before : first] = rising[fade - before :]
    share[last : last + after] = rising[::-1][:after]
    touched = np.flatnonzero(share)
    there = np.clip(touched - offset, 0, len(new) - 1)
    samples: FloatArray = original.copy()
    weight = share[touched, None]
    patch = np.clip(new[there], -1, 1)[:, None]
    samples[touched] = original[touched] * (1 - weight) + patch * weight
    return samples


def _join(last: FloatArray, added: FloatArray, length: int) -> None:
    """Smooths the step from the ``last`` sample: it is taken back over ``length`` of ``added``."""
    if len(added):
        length = min(length, len(added))
        falling = 1 - np.arange(length, dtype=np.float32) / length
        added[:length] += falling[:, None] * (last - added[0])
        np.clip(added, -1, 1, out=added)
