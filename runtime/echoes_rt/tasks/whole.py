"""A whole clip or picture from the other medium, or both from nothing."""

from __future__ import annotations

import numpy as np

from echoes_rt.decode.reference import IntArray
from echoes_rt.errors import InputError
from echoes_rt.image import RgbArray
from echoes_rt.options import report_steps
from echoes_rt.results import Picture, Sound
from echoes_rt.tasks.call import Call
from echoes_rt.tasks.rank import likeliest

MAX_COUNT = 1000
BATCH = 8
"""Members decoded at once; more gain nothing on a CPU and take memory."""
REDRAWS = 2
"""Times that ``both`` draws the picture and then the sound anew."""


def sounds_of(call: Call, image: IntArray, count: int = 1, keep: int | None = None) -> list[Sound]:
    """``count`` sounds of one picture's (1, N_i) codes, or the ``keep`` likeliest of them."""
    call.load("step", "mel_decoder", "vocoder")
    layout = call.engine.manifest.tokens
    tokens, seeds = _decode(call, image, None, count, keep)
    codes = tokens[:, layout.audio_slice]
    sampling = call.engine.sampling(layout.audio.n_tokens, call.options)
    with call.clock.stage("decode_audio"):
        samples = [call.engine.decode_audio(row[None])[0] for row in codes]
    return [
        call.sound(s, c, sampling, seed) for s, c, seed in zip(samples, codes, seeds, strict=True)
    ]


def sounds_at_once(call: Call, image: RgbArray, count: int = 1) -> list[Sound]:
    """``sounds_of`` a picture's pixels, by an engine that goes all the way in one call."""
    check_count(count, None)
    call.load("image_to_audio")
    engine, seeds = call.engine, call.seeds(count)
    sampling = engine.sampling(engine.manifest.tokens.audio.n_tokens, call.options)
    with call.clock.stage("image_to_audio"):
        parts = [
            engine.image_to_samples(image, seeds=seeds[i : i + BATCH], sampling=sampling)
            for i in range(0, count, BATCH)
        ]
    report_steps(call.on_step, sampling.steps)
    members = (member for part in parts for member in zip(*part, strict=True))
    return [call.sound(s, c, sampling, seed) for (s, c), seed in zip(members, seeds, strict=True)]


def pictures_of(
    call: Call, audio: IntArray, count: int = 1, keep: int | None = None
) -> list[Picture]:
    """``count`` pictures of one clip's (1, N_a) codes, or the ``keep`` likeliest of them."""
    call.load("step", "image_decoder")
    layout = call.engine.manifest.tokens
    tokens, seeds = _decode(call, None, audio, count, keep)
    codes = tokens[:, layout.image_slice]
    sampling = call.engine.sampling(layout.image.n_tokens, call.options)
    with call.clock.stage("decode_image"):
        parts = [
            call.engine.decode_image(codes[i : i + BATCH]) for i in range(0, len(codes), BATCH)
        ]
    pixels = np.concatenate(parts)
    return [
        call.picture(p, c, sampling, seed) for p, c, seed in zip(pixels, codes, seeds, strict=True)
    ]


def both(call: Call) -> tuple[Sound, Picture]:
    """A picture and a sound from nothing, then each of them anew in turns, guided by the other.

    Drawn in one pass they agree less, because there is no condition to guide by;
    docs/evaluation.md has the figures.
    """
    call.load("step", "mel_decoder", "vocoder", "image_decoder")
    layout = call.engine.manifest.tokens
    tokens, mask = call.question(None, None)
    sampling = call.sampling(mask)
    tokens = call.decode(tokens, mask, [call.seed])
    for window in range(1, 1 + 2 * REDRAWS, 2):
        question = call.question(None, tokens[:, layout.audio_slice])
        tokens = call.decode(*question, [call.seed], window=window)
        question = call.question(tokens[:, layout.image_slice], None)
        tokens = call.decode(*question, [call.seed], window=window + 1)
    audio, image = tokens[:, layout.audio_slice], tokens[:, layout.image_slice]
    with call.clock.stage("decode_audio"):
        samples = call.engine.decode_audio(audio)[0]
    with call.clock.stage("decode_image"):
        pixels = call.engine.decode_image(image)[0]
    return call.sound(samples, audio[0], sampling), call.picture(pixels, image[0], sampling)


def check_count(count: int, keep: int | None) -> None:
    """Raises InputError if so many results cannot be made, or not so many of them kept."""
    if not 1 <= count <= MAX_COUNT:
        raise InputError(f"count must be in [1, {MAX_COUNT}], got {count}")
    if keep is not None and not 1 <= keep <= count:
        raise InputError(f"rank must be in [1, count = {count}], got {keep}")


def _decode(
    call: Call, image: IntArray | None, audio: IntArray | None, count: int, keep: int | None
) -> tuple[IntArray, list[int]]:
    check_count(count, keep)
    seeds = call.seeds(count)
    parts = []
    for start in range(0, count, BATCH):
        members = seeds[start : start + BATCH]
        tokens, mask = call.question(image, audio, len(members))
        parts.append(call.decode(tokens, mask, members))
    tokens = np.concatenate(parts)
    if keep is None:
        return tokens, seeds
    with call.clock.stage("rank"):
        best = likeliest(call.engine, tokens, asked="audio" if audio is None else "image")[:keep]
    return tokens[best], [seeds[i] for i in best]
