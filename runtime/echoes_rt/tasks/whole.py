"""A whole clip or picture from the other medium, or both from nothing."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np

from echoes_rt.decode.plan import FloatArray, IntArray
from echoes_rt.errors import InputError
from echoes_rt.format.tokens import MEDIA, OTHER
from echoes_rt.io.image import RgbArray
from echoes_rt.options import check_numbers
from echoes_rt.results import Picture, Sound
from echoes_rt.tasks.call import Call
from echoes_rt.tasks.rank import likeliest
from echoes_rt.tasks.together import Made, Part

Member = tuple[int, IntArray]
"""A seed, and the (N,) codes that it gave."""

MAX_COUNT = 1000
BATCH = 8
"""Members in work at once, whatever they are made from; it bounds the memory."""
REDRAWS = 2
"""Times that ``both`` draws the picture and then the sound anew."""


def sounds_of(
    call: Call, images: IntArray, count: int = 1, keep: int | None = None
) -> list[list[Sound]]:
    """``count`` sounds of each of (S, N_i) pictures' codes, or the ``keep`` likeliest of them."""
    call.load("mel_decoder", "vocoder", target="audio")
    decoded = _decode(call, "audio", images, count, keep)
    sampling = call.sampling("audio", call.unknown("audio"))
    samples = _in_parts(call, _samples, [member for members in decoded for member in members])
    confidences = call.confidences(images)
    return [
        [
            call.sound(next(samples), codes, sampling, seed, confidence=confidence)
            for seed, codes in members
        ]
        for members, confidence in zip(decoded, confidences, strict=True)
    ]


def pictures_of(
    call: Call, audios: IntArray, count: int = 1, keep: int | None = None
) -> list[list[Picture]]:
    """``count`` pictures of each of (S, N_a) clips' codes, or the ``keep`` likeliest of them."""
    call.load("image_decoder", target="image")
    decoded = _decode(call, "image", audios, count, keep)
    sampling = call.sampling("image", call.unknown("image"))
    pixels = _in_parts(call, _pixels, [member for members in decoded for member in members])
    return [
        [call.picture(next(pixels), row, sampling, seed) for seed, row in members]
        for members in decoded
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
    check_numbers(count=count, rank=1 if keep is None else keep)
    if not 1 <= count <= MAX_COUNT:
        raise InputError(f"count must be in [1, {MAX_COUNT}], got {count}")
    if keep is not None and not 1 <= keep <= count:
        raise InputError(f"rank must be in [1, count = {count}], got {keep}")


def parts_of(members: Sequence[Part], callers: int) -> list[Sequence[Part]]:
    """What the callers take in turns: together they hold ``BATCH`` members."""
    size = min(BATCH // callers, math.ceil(len(members) / callers))
    return [members[start : start + size] for start in range(0, len(members), size)]


def _decode(
    call: Call, target: str, contexts: IntArray, count: int, keep: int | None
) -> list[list[Member]]:
    """For each context what is made of it."""
    seeds = call.seeds(count)
    members = [(context, seed) for context in contexts for seed in seeds]

    def decode(call: Call, part: Sequence[tuple[IntArray, int]]) -> IntArray:
        rows, chosen = zip(*part, strict=True)
        return call.decode(target, call.unknown(target, len(part)), np.stack(rows), chosen)

    decoded = np.stack([*_in_parts(call, decode, members)]).reshape(len(contexts), count, -1)
    orders: Sequence[Iterable[int]] = [range(count)] * len(contexts)
    if keep is not None:
        with call.clock.stage("rank"):
            orders = [
                likeliest(call.model, target, codes, context[None])[:keep]
                for codes, context in zip(decoded, contexts, strict=True)
            ]
    return [
        [(seeds[i], codes[i]) for i in order] for codes, order in zip(decoded, orders, strict=True)
    ]


def _in_parts(
    call: Call, make: Callable[[Call, Sequence[Part]], Iterable[Made]], members: Sequence[Part]
) -> Iterator[Made]:
    parts = parts_of(members, call.model.callers)
    return itertools.chain.from_iterable(call.together(lambda part: make(call, part), parts))


def _samples(call: Call, part: Sequence[Member]) -> FloatArray:
    seeds, codes = zip(*part, strict=True)
    with call.clock.stage("decode_audio"):
        return call.model.decode_audio(np.stack(codes), seeds=seeds)


def _pixels(call: Call, part: Sequence[Member]) -> RgbArray:
    with call.clock.stage("decode_image"):
        return call.model.decode_image(np.stack([codes for _, codes in part]))
