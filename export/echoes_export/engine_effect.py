"""How far the precision of engines moves tokens and sounds, run on the CPU."""

from dataclasses import replace

import numpy as np

from echoes_export.checks import Array, Check, snr_db
from echoes_export.verify_int8 import int8_effect
from echoes_rt.bundle import Bundle
from echoes_rt.engine import Engine
from echoes_rt.errors import InputError

COMPARED = ("image_encoder", "step", "decode", "mel_decoder", "vocoder")
"""Graphs that a bundle must have to be compared."""


def precision_effect(before: Bundle, after: Bundle, pictures: list[Array]) -> list[Check]:
    """Codes, scores, tokens and samples of both bundles for the same pictures.

    Args:
        before: as it was exported.
        after: of ``write_engine_bundle``.
        pictures: (H, W, 3) uint8, of any size.

    Raises:
        InputError: if a network leaves the range of its precision.
    """
    engines = [Engine.load(bundle, device="cpu") for bundle in (before, after)]
    codes = [
        np.concatenate([engine.encode_image(picture) for picture in pictures]) for engine in engines
    ]
    layout = before.manifest.tokens
    rng = np.random.default_rng(0)
    sounds = rng.integers(
        0, layout.audio.codebook_size, (len(pictures), layout.audio.n_tokens), dtype=np.int32
    )
    mels = [engine.decode_mel(sounds) for engine in engines]
    samples = [engine.vocode(mels[0]) for engine in engines]
    sound = [samples[0], engines[1].vocode(mels[1])]
    if not all(np.isfinite(array).all() for array in (mels[1], samples[1])):
        raise InputError(
            "the decoders leave the range of float16; build the engines with --precision fp32"
        )
    return [
        _check("image_encoder", "equal codes", float((codes[0] == codes[1]).mean())),
        *int8_effect(before, after, pictures),
        _check("decode", "equal tokens of one step", _equal_of_one_step(engines, codes[0])),
        _check("mel_decoder", "lowest SNR, dB", _lowest_snr(mels)),
        _check("vocoder", "lowest SNR, dB", _lowest_snr(samples)),
        _check("both", "lowest SNR, dB", _lowest_snr(sound)),
    ]


def _equal_of_one_step(engines: list[Engine], codes: Array) -> float:
    """Of all unknown tokens drawn at once: no token that differs makes others differ."""
    layout, sampling = engines[0].manifest.tokens, engines[0].manifest.sampling
    tokens = np.full((len(codes), layout.n_tokens), layout.mask_token_id, dtype=np.int32)
    tokens[:, layout.image_slice] = codes
    mask = tokens == layout.mask_token_id
    once = replace(sampling, steps=1)
    both = [
        engine.decode_tokens(tokens, mask, seeds=range(len(codes)), sampling=once)
        for engine in engines
    ]
    return float((both[0] == both[1])[mask].mean())


def _lowest_snr(both: list[Array]) -> float:
    return min(snr_db(a, b) for a, b in zip(*both, strict=True))


def _check(graph: str, metric: str, value: float) -> Check:
    return Check(graph=graph, metric=metric, value=value, limit=None)
