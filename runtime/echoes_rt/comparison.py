"""How far one bundle, or one device, moves from another: one comparison for all of them."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from echoes_rt.bundle import Bundle
from echoes_rt.errors import InputError
from echoes_rt.format.image import ImageSpec
from echoes_rt.io.image import to_input
from echoes_rt.model import Model

Array = NDArray[Any]

_SEED = 0


@dataclass(frozen=True, kw_only=True)
class Check:
    """One measured number; without a ``limit`` it is for information only."""

    graph: str
    metric: str
    value: float
    limit: float | None
    is_ok: bool = True


def table(checks: list[Check]) -> str:
    rows = [("graph", "metric", "value", "limit", "ok")]
    for check in checks:
        limit = "-" if check.limit is None else f"{check.limit:g}"
        verdict = "-" if check.limit is None else "yes" if check.is_ok else "NO"
        rows.append((check.graph, check.metric, f"{check.value:.6g}", limit, verdict))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def compare_bundles(before: Bundle, after: Bundle, pictures: list[Array]) -> list[Check]:
    """``compare`` on this machine's CPU."""
    a, b = (Model.load(bundle, device="cpu") for bundle in (before, after))
    return compare(a, b, pictures)


def compare(a: Model, b: Model, pictures: list[Array]) -> list[Check]:
    """What both give for the same inputs, by graph, and the sounds of the same codes.

    Without limits: drawn tokens differ wherever a uniform falls between two nearly equal sums, and
    what that does to the sound only ``echoes-train evaluate`` tells.

    Args:
        a: gives the inputs of the later graphs to both.
        b: has some or all of the same graphs.
        pictures: (H, W, 3) uint8, of any size.

    Raises:
        InputError: if a graph of ``b`` gives what is no number: it leaves the range of its
            precision.
    """
    names = a.manifest.graphs.keys() & b.manifest.graphs.keys()
    layout, rng = a.manifest.tokens, np.random.default_rng(_SEED)
    images = np.concatenate([a.encode_image(picture) for picture in pictures])
    shape = (len(pictures), layout.audio.n_tokens)
    sounds = rng.integers(0, layout.audio.codebook_size, shape, dtype=np.int32)
    mels = a.decode_mel(sounds)
    pixels = np.concatenate([to_input(p, a.manifest.image) for p in pictures])
    checks = []
    for name, key, asked in (
        ("image_encoder", "image", pixels),
        ("image_decoder", "codes", images),
        ("mel_encoder", "mel", mels),
        ("vocoder", "mel", mels),
    ):
        if name in names:
            both = [next(iter(e.session(name).run({key: asked}).values())) for e in (a, b)]
            checks.append(_alike(name, *both))
    if "mel_decoder" in names:
        checks.append(_alike("mel_decoder", mels, b.decode_mel(sounds)))
    if {"mel_decoder", "vocoder"} <= names:
        checks.append(_alike("sound", *(model.decode_audio(sounds) for model in (a, b))))
    if "logits_audio" in names:
        checks += _logits(a, b, images, sounds)
    if "decode_audio_step" in names:
        checks += _decoded(a, b, images)
    return checks


def _alike(name: str, expected: Array, got: Array) -> Check:
    if not np.isfinite(got).all():
        raise InputError(f"{name} leaves the range of its precision; use a wider one")
    if got.dtype == np.int32:
        return _check(name, "equal codes", float((expected == got).mean()))
    if name in ("vocoder", "sound"):
        # The phases of a vocoder's tones are running sums: rounding turns them, which nobody hears.
        expected, got = _spectra(expected), _spectra(got)
    return _check(name, "lowest SNR, dB", min(map(snr_db, expected, got)))


def _spectra(samples: Array) -> Array:
    """Magnitudes (B, T, bins) of (B, S) samples, in windows of 1,024 by steps of 256."""
    frames = np.lib.stride_tricks.sliding_window_view(samples, 1024, axis=1)[:, ::256]
    return np.abs(np.fft.rfft(frames * np.hanning(1024)))


def _logits(a: Model, b: Model, images: Array, sounds: Array) -> list[Check]:
    """As decoding meets them: more and more of a sound is known."""
    known = np.linspace(0, 1, len(sounds), endpoint=False)[:, None]
    hidden = np.random.default_rng(_SEED).random(sounds.shape) >= known
    tokens = np.where(hidden, np.int32(a.manifest.tokens.audio.mask_token), sounds)
    expected, got = (model.logits("audio", tokens, images) for model in (a, b))
    if not np.isfinite(got).all():
        raise InputError("logits_audio leaves the range of its precision; use a wider one")
    error = float(np.sqrt(np.mean((expected - got) ** 2)) / np.std(expected))
    likeliest = (expected.argmax(axis=-1) == got.argmax(axis=-1))[hidden]
    return [
        _check("logits_audio", "relative error", error),
        _check("logits_audio", "equal likeliest codes", float(likeliest.mean())),
    ]


def _decoded(a: Model, b: Model, images: Array) -> list[Check]:
    """In one step no token that differs makes others differ; two members differ by chance."""
    grid, usual = a.manifest.tokens.audio, a.manifest.sampling
    tokens = np.full((1, grid.n_tokens), grid.mask_token, dtype=np.int32)
    checks = []
    for sampling, how in ((replace(usual, steps=1), "one step"), (usual, "all steps")):
        made = [
            np.concatenate(
                [
                    model.decode_tokens("audio", tokens, row[None], seeds=[i], sampling=sampling)
                    for i, row in enumerate(images)
                ]
            )
            for model in (a, b)
        ]
        share = float((made[0] == made[1]).mean())
        checks.append(_check("decode_audio_step", f"equal tokens of {how}", share))
    if len(images) > 1:
        chance = float((made[0] == np.roll(made[0], 1, axis=0)).mean())
        checks.append(_check("decode_audio_step", "equal tokens by chance", chance))
    return checks


def snr_db(expected: Array, got: Array) -> float:
    """Of one clip, 200 at most, which JSON can hold; a NaN on either side fails every limit."""
    signal, noise = (
        float(np.square(x, dtype=np.float64).sum()) for x in (expected, expected - got)
    )
    return 200.0 if noise == 0 else min(200.0, 10 * float(np.log10(max(signal, 1e-30) / noise)))


def noise_pictures(image: ImageSpec, count: int) -> list[Array]:
    """Smooth noise, where there are no pictures."""
    import cv2

    rng = np.random.default_rng(_SEED)
    coarse = (max(2, image.height // 8), max(2, image.width // 8), 3)
    return [
        cv2.resize(rng.integers(0, 256, coarse, dtype=np.uint8), (image.width, image.height))
        for _ in range(count)
    ]


def _check(graph: str, metric: str, value: float) -> Check:
    return Check(graph=graph, metric=metric, value=value, limit=None)
