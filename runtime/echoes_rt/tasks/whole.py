"""A whole clip or picture from the other medium or from one like it, or both from nothing."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from echoes_rt.decode.noise import VARY_STREAM, uniforms
from echoes_rt.decode.plan import FloatArray, IntArray
from echoes_rt.errors import InputError
from echoes_rt.format.tokens import OTHER
from echoes_rt.io.image import RgbArray
from echoes_rt.options import check_numbers
from echoes_rt.results import Picture, Sound
from echoes_rt.tasks.call import DECODERS, ENCODERS, Call, Made, Part, together

if TYPE_CHECKING:
    from echoes_rt.model import Model

Member = tuple[int, IntArray]
"""A seed, and the (N,) codes that it gave."""

MAX_COUNT = 1000
BATCH = 8
"""Members in work at once, whatever they are made from; it bounds the memory."""
REDRAWS = 2
"""Times that ``both`` draws the picture and then the sound anew."""


def results_of(
    call: Call, source: str, contexts: IntArray, count: int = 1, keep: int | None = None
) -> list[list[Sound | Picture]]:
    """``count`` results of each of (S, N) codes of a medium, or the ``keep`` likeliest of them."""
    target = OTHER[source]
    call.load(*DECODERS[target], target=target)
    decoded = _decode(call, target, contexts, count, keep)
    sampling = call.sampling(target, call.unknown(target))

    def render(call: Call, part: Sequence[Member]) -> NDArray[Any]:
        seeds, codes = zip(*part, strict=True)
        return call.render(target, np.stack(codes), seeds)

    made = _in_parts(call, render, [member for members in decoded for member in members])
    sure = call.confidences(contexts) if source == "image" else [None] * len(contexts)
    return [
        [call.result(target, next(made), codes, sampling, seed, each) for seed, codes in members]
        for members, each in zip(decoded, sure, strict=True)
    ]


def vary(call: Call, target: str, given: FloatArray | RgbArray, keep: float) -> Sound | Picture:
    """Like (S,) samples at the model's rate or (H, W, 3) RGB, with a share of its codes kept.

    Each stays with probability ``keep``, by the call's seed.
    """
    call.load(*ENCODERS[target], *DECODERS[target], target=target)
    encode = call.model.encode_image if target == "image" else call.model.encode_audio
    with call.clock.stage(f"encode_{target}"):
        codes = encode(given)
    check_numbers(keep=keep)
    if not 0 <= keep <= 1:
        raise InputError(f"keep must be in [0, 1], got {keep:g}")
    chances = uniforms([call.seed], VARY_STREAM, codes.shape[1])
    tokens = np.where(chances < keep, codes, call.unknown(target))
    sampling = call.sampling(target, tokens)
    codes = call.decode(target, tokens, None, [call.seed])
    made = call.render(target, codes, [call.seed])
    return call.result(target, made[0], codes[0], sampling)


def both(call: Call) -> tuple[Sound | Picture, ...]:
    """A sound from nothing and a picture of it, then each of them anew in turns.

    docs/decisions.md has the figures.
    """
    targets = ("audio", "image")
    for target in targets:
        call.load(*DECODERS[target], target=target)
    known: dict[str, IntArray] = {}
    for window, target in enumerate(targets * (1 + REDRAWS)):
        context = known.get(OTHER[target])
        known[target] = call.decode(target, call.unknown(target), context, [call.seed], window)
    made = [call.render(target, known[target], [call.seed])[0] for target in targets]
    return tuple(
        call.result(target, array, known[target][0], call.sampling(target, call.unknown(target)))
        for target, array in zip(targets, made, strict=True)
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
    made = together(lambda part: make(call, part), parts, call.model.callers, call.progress)
    return itertools.chain.from_iterable(made)


def likeliest(model: Model, target: str, made: IntArray, given: IntArray) -> NDArray[np.intp]:
    """The order of (B, N) decoded codes of a target, best first.

    A result is as good as it explains what it was made from: the log-likelihood of the given
    medium's codes, all masked, with the result as their context. The same network answers, since
    it is trained in both directions; docs/decisions.md compares other scores.

    Args:
        model: what decoded them.
        target: ``audio`` or ``image``, the medium that was made.
        made: without masks.
        given: (1, N') codes of the other medium.
    """
    medium = OTHER[target]
    hidden = np.full_like(given, model.manifest.tokens.grids[medium].mask_token)
    scores = [
        _log_likelihood(model.logits(medium, hidden, codes[None])[0], given[0]) for codes in made
    ]
    return np.argsort(-np.array(scores), kind="stable")


def _log_likelihood(logits: FloatArray, codes: IntArray) -> float:
    """Sum over positions of the log-probability of (N,) codes under (N, V) logits."""
    below_best = logits - logits.max(axis=1, keepdims=True)
    log_totals = np.log(np.exp(below_best).sum(axis=1))
    return float((below_best[np.arange(len(codes)), codes] - log_totals).sum())
