"""A whole clip or picture from the other medium, or both from nothing."""

from __future__ import annotations

import numpy as np

from echoes_rt.decode.plan import IntArray
from echoes_rt.errors import InputError
from echoes_rt.format.tokens import MEDIA, OTHER
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
    call.load("mel_decoder", "vocoder", target="audio")
    codes, seeds = _decode(call, "audio", image, count, keep)
    sampling = call.model.sampling(codes.shape[1], call.options)
    with call.clock.stage("decode_audio"):
        samples = [
            call.model.decode_audio(row[None], seeds=[seed])[0]
            for row, seed in zip(codes, seeds, strict=True)
        ]
    confidence = call.confidence(image)
    return [
        call.sound(s, c, sampling, seed, confidence=confidence)
        for s, c, seed in zip(samples, codes, seeds, strict=True)
    ]


def pictures_of(
    call: Call, audio: IntArray, count: int = 1, keep: int | None = None
) -> list[Picture]:
    """``count`` pictures of one clip's (1, N_a) codes, or the ``keep`` likeliest of them."""
    call.load("image_decoder", target="image")
    codes, seeds = _decode(call, "image", audio, count, keep)
    sampling = call.model.sampling(codes.shape[1], call.options)
    with call.clock.stage("decode_image"):
        parts = [call.model.decode_image(codes[i : i + BATCH]) for i in range(0, len(codes), BATCH)]
    pixels = np.concatenate(parts)
    return [
        call.picture(p, c, sampling, seed) for p, c, seed in zip(pixels, codes, seeds, strict=True)
    ]


def both(call: Call) -> tuple[Sound, Picture]:
    """A sound from nothing and a picture of it, then each of them anew in turns.

    docs/decisions.md has the figures.
    """
    call.load("mel_decoder", "vocoder", target="audio")
    call.load("image_decoder", target="image")
    known: dict[str, IntArray | None] = dict.fromkeys(MEDIA)
    for window, target in enumerate(("audio", "image") * (1 + REDRAWS)):
        context = known[OTHER[target]]
        known[target] = call.decode(target, call.unknown(target), context, [call.seed], window)
    audio, image = known["audio"], known["image"]
    assert audio is not None
    assert image is not None
    with call.clock.stage("decode_audio"):
        samples = call.model.decode_audio(audio, seeds=[call.seed])[0]
    with call.clock.stage("decode_image"):
        pixels = call.model.decode_image(image)[0]
    sampling = {medium: call.sampling(medium, call.unknown(medium)) for medium in MEDIA}
    return (
        call.sound(samples, audio[0], sampling["audio"]),
        call.picture(pixels, image[0], sampling["image"]),
    )


def check_count(count: int, keep: int | None) -> None:
    """Raises InputError if so many results cannot be made, or not so many of them kept."""
    if not 1 <= count <= MAX_COUNT:
        raise InputError(f"count must be in [1, {MAX_COUNT}], got {count}")
    if keep is not None and not 1 <= keep <= count:
        raise InputError(f"rank must be in [1, count = {count}], got {keep}")


def _decode(
    call: Call, target: str, context: IntArray, count: int, keep: int | None
) -> tuple[IntArray, list[int]]:
    check_count(count, keep)
    seeds = call.seeds(count)
    parts = []
    for start in range(0, count, BATCH):
        members = seeds[start : start + BATCH]
        parts.append(call.decode(target, call.unknown(target, len(members)), context, members))
    codes = np.concatenate(parts)
    if keep is None:
        return codes, seeds
    with call.clock.stage("rank"):
        best = likeliest(call.model, target, codes, context)[:keep]
    return codes[best], [seeds[i] for i in best]
