"""How far an int8 bundle moves from the one that it was made of."""

import numpy as np

from echoes_export.checks import Array, Check
from echoes_rt.bundle import Bundle
from echoes_rt.engine import Engine
from echoes_rt.spec.image import ImageSpec
from echoes_rt.spec.tokens import TokenLayout

_SEED = 0


def int8_effect(before: Bundle, after: Bundle, pictures: list[Array]) -> list[Check]:
    """Scores and tokens of both bundles for the same pictures, on this machine's CPU.

    Without limits: drawn tokens differ wherever a uniform falls between two nearly equal sums, and
    what that does to the sound only ``echoes-train evaluate`` tells.

    Args:
        before: the bundle that was quantized.
        after: the int8 one.
        pictures: (H, W, 3) uint8, of any size.
    """
    engines = [Engine.load(bundle, device="cpu") for bundle in (before, after)]
    layout = before.manifest.tokens
    codes = np.concatenate([engines[0].encode_image(picture) for picture in pictures])
    questions = masked(codes, layout)
    expected, got = ([engine.logits(q[None])[0] for q in questions] for engine in engines)
    tokens = [_decoded(engine, codes, layout) for engine in engines]
    return [
        _check("step", "relative error of scores", _relative_error(expected, got)),
        _check("step", "equal likeliest codes", _equal_likeliest(expected, got, questions, layout)),
        _check("decode", "equal tokens", float((tokens[0] == tokens[1]).mean())),
        _check("decode", "equal tokens by chance", _chance(tokens[0])),
    ]


def masked(codes: Array, layout: TokenLayout) -> Array:
    """(M, N) questions as decoding meets them: more and more of a sound is known."""
    rng = np.random.default_rng(_SEED)
    tokens = np.full((len(codes), layout.n_tokens), layout.mask_token_id, dtype=np.int32)
    tokens[:, layout.image_slice] = codes
    n_audio = layout.audio.n_tokens
    for member, row in enumerate(tokens):
        known = rng.permutation(n_audio)[: n_audio * member // len(tokens)]
        row[layout.image.n_tokens + known] = rng.integers(0, layout.audio.codebook_size, len(known))
    return tokens


def noise_pictures(image: ImageSpec, count: int) -> list[Array]:
    """Smooth noise, where there are no pictures."""
    import cv2

    rng = np.random.default_rng(_SEED)
    coarse = (max(2, image.height // 8), max(2, image.width // 8), 3)
    return [
        cv2.resize(rng.integers(0, 256, coarse, dtype=np.uint8), (image.width, image.height))
        for _ in range(count)
    ]


def _decoded(engine: Engine, codes: Array, layout: TokenLayout) -> Array:
    """(M, N_a) audio tokens, each member alone and with a seed of its own."""
    made = []
    for seed, row in enumerate(codes):
        tokens = np.full((1, layout.n_tokens), layout.mask_token_id, dtype=np.int32)
        tokens[0, layout.image_slice] = row
        mask = tokens == layout.mask_token_id
        made.append(engine.decode_tokens(tokens, mask, seeds=[seed])[0, layout.audio_slice])
    return np.stack(made)


def _relative_error(expected: list[Array], got: list[Array]) -> float:
    """Root of the mean square error over the scores' own deviation."""
    a, b = np.stack(expected), np.stack(got)
    is_finite = np.isfinite(a)  # codes that a medium lacks score -inf in both
    return float(np.sqrt(np.mean((a - b)[is_finite] ** 2)) / np.std(a[is_finite]))


def _equal_likeliest(
    expected: list[Array], got: list[Array], questions: Array, layout: TokenLayout
) -> float:
    is_asked = questions == layout.mask_token_id
    equal = np.stack(expected).argmax(axis=-1) == np.stack(got).argmax(axis=-1)
    return float(equal[is_asked].mean())


def _chance(tokens: Array) -> float:
    """Agreement of two members of one bundle: what different noise and pictures leave equal."""
    return float((tokens == np.roll(tokens, 1, axis=0)).mean()) if len(tokens) > 1 else 0.0


def _check(graph: str, metric: str, value: float) -> Check:
    return Check(graph=graph, metric=metric, value=value, limit=None)
