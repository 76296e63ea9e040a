"""How far the precision of engines moves tokens and sounds, run on the CPU."""

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
    if not all(np.isfinite(array).all() for array in (mels[1], samples[1])):
        raise InputError(
            "the decoders leave the range of float16; build the engines with --precision fp32"
        )
    return [
        _check("image_encoder", "equal codes", float((codes[0] == codes[1]).mean())),
        *int8_effect(before, after, pictures),
        _check("mel_decoder", "lowest SNR, dB", _lowest_snr(mels)),
        _check("vocoder", "lowest SNR, dB", _lowest_snr(samples)),
    ]


def _lowest_snr(both: list[Array]) -> float:
    return min(snr_db(a, b) for a, b in zip(*both, strict=True))


def _check(graph: str, metric: str, value: float) -> Check:
    return Check(graph=graph, metric=metric, value=value, limit=None)
