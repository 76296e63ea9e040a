"""Compares the graphs of a bundle with the torch modules and the numpy loop that they come from."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from echoes_export.bundle.models import Models
from echoes_export.graphs.wrappers import Part, graph_parts
from echoes_rt.bundle import Bundle
from echoes_rt.comparison import Array, Check, snr_db
from echoes_rt.decode import reference, steps
from echoes_rt.decode.noise import uniforms
from echoes_rt.decode.plan import IntArray, make_plan
from echoes_rt.errors import InputError
from echoes_rt.format.tokens import MEDIA, OTHER, TokenLayout
from echoes_rt.io.image import load_image
from echoes_rt.model import Model
from echoes_training.data.audio import AudioStore, to_batch
from echoes_training.data.index import read_index
from echoes_training.models.mel import MelSpectrogram

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """image (M, 3, H, W) and mel (M, n_mels, n_frames), as the encoders read them."""

    image: Tensor
    mel: Tensor


def inputs_of(index: Path | None, models: Models, count: int) -> Inputs:
    """Up to ``count`` held-out pictures, as the runtime reads them, and as many sounds.

    Without an index, smooth noise. Raises InputError if one has no such media.
    """
    if index is None:
        return noise_inputs(models, count, 0)
    heldout = [clip for clip in read_index(index) if clip.split == "heldout"]
    pictures = _spread([clip.image for clip in heldout if clip.image], count)
    sounds = _spread([clip for clip in heldout if clip.audio], count)
    if not pictures or not sounds:
        raise InputError("the index needs a held-out picture and a held-out sound to verify with")
    store = AudioStore(models.mel)
    samples = to_batch([store.get(str(clip.audio), clip.start) for clip in sounds])
    return Inputs(
        image=torch.from_numpy(np.concatenate([load_image(p, models.image) for p in pictures])),
        mel=MelSpectrogram(models.mel)(samples),
    )


def noise_inputs(models: Models, count: int, seed: int) -> Inputs:
    """Smooth noise: every 8th point is drawn, the rest lies between them, as in real media."""
    generator = torch.Generator().manual_seed(seed)

    def draw(channels: int, height: int, width: int) -> Tensor:
        coarse = torch.rand(
            count, channels, max(2, height // 8), max(2, width // 8), generator=generator
        )
        return F.interpolate(2 * coarse - 1, (height, width), mode="bilinear")

    return Inputs(
        image=draw(3, models.image.height, models.image.width),
        mel=draw(1, models.mel.n_mels, models.mel.n_frames)[:, 0],
    )


def _spread(members: Sequence[T], count: int) -> list[T]:
    return list(members[:: max(1, len(members) // count)][:count])


MIN_EQUAL_CODES = 0.999
MIN_SNR_DB = 40.0
"""Of a vocoder's samples. Rounding turns the running phases of tones, and now and then decides
which of two bins as strong is a tone's strongest."""
MAX_DIFFERENCE = 1e-3

# Where the processor sums a row in another order, one token in very many is drawn differently, and
# with it those that follow in its member. A wrong graph has hardly any token right.
MIN_EQUAL_TOKENS = 0.9

_BATCH = 8


def verify_bundle(bundle: Bundle, models: Models, inputs: Inputs) -> list[Check]:
    """Every graph against torch with the weights that the bundle stores, on this machine's CPU."""
    model = Model.load(bundle, device="cpu")
    checks = []
    with torch.inference_mode():
        parts = graph_parts(models)
        questions = _questions(parts, inputs)
        for name, part in parts.items():
            pairs = [
                (_torch(part, asked), _onnx(model, name, part, asked)) for asked in questions[name]
            ]
            checks.append(_check(name, pairs, is_limited=True))
        for target in MEDIA:
            checks += _check_decoding(model, models, target)
    return checks


def rounding_effect(models: Models, stored: Models, inputs: Inputs) -> list[Check]:
    """How far the stored weights move the torch modules; for information."""
    with torch.inference_mode():
        before, after = graph_parts(models), graph_parts(stored)
        checks = []
        questions = _questions(after, inputs)
        for name in after:
            pairs = [
                (_torch(before[name], asked), _torch(after[name], asked))
                for asked in questions[name]
            ]
            checks.append(_check(name, pairs, is_limited=False))
        return checks


def _questions(parts: dict[str, Part], inputs: Inputs) -> dict[str, list[Array]]:
    """Batches for every graph; the later graphs are asked what the encoders answer."""
    images, mels = _batches(inputs.image), _batches(inputs.mel)
    image_codes = [_torch(parts["image_encoder"], part) for part in images]
    audio_codes = [_torch(parts["mel_encoder"], part) for part in mels]
    n_frames = inputs.mel.shape[2]
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, (2, 20_000)).astype(np.float32)
    return {
        "image_encoder": images,
        "image_decoder": image_codes,
        "log_mel": [samples],
        "mel_encoder": mels,
        "mel_decoder": audio_codes,
        # A second length, because frames are free.
        "vocoder": [*mels, np.ascontiguousarray(mels[0][:, :, : n_frames // 2 + 1])],
        "context_image": image_codes,
        "context_audio": audio_codes,
        "confidence": image_codes,
    }


def _check_decoding(model: Model, models: Models, target: str) -> Iterator[Check]:
    """The logits against torch, and both loops against the numpy reference on those logits."""
    layout = models.layout
    grid = layout.grids[target]
    tokens, context = mixed_question(layout, target, _BATCH)
    plan = make_plan(tokens == grid.mask_token, grid.order, model.manifest.sampling)
    noise = uniforms(range(_BATCH), 0, grid.n_tokens)

    def logits_of(asked: IntArray, has_context: bool) -> Array:
        return model.logits(target, asked, context if has_context else None)

    gaps = [
        np.abs(logits_of(tokens, seen) - _torch_logits(models, target, tokens, context, seen)).max()
        for seen in (True, False)
    ]
    yield _close(f"logits_{target}", float(max(gaps)))
    for has_context in (True, False):
        expected = reference.decode(logits_of, tokens, plan, noise, has_context=has_context)
        given = context if has_context else None
        seen = model.context(target, given)
        made = {
            f"decode_{target}": steps.decode_at_once(
                model.session(f"decode_{target}"), tokens, seen, plan, noise
            ),
            f"decode_{target}_step": model.decode_tokens(
                target, tokens, given, seeds=range(_BATCH), sampling=model.manifest.sampling
            ),
        }
        is_known = tokens != grid.mask_token
        for name, decoded in made.items():
            # A known token that changes is wrong on every machine.
            is_kept = bool((decoded == tokens)[is_known].all())
            share = float((decoded == expected)[~is_known].mean()) * is_kept
            metric = f"equal tokens {'with' if has_context else 'without'} context"
            yield _at_least(name, metric, share, MIN_EQUAL_TOKENS)


def mixed_question(layout: TokenLayout, target: str, n_members: int) -> tuple[IntArray, IntArray]:
    """Tokens (B, N) with random shares unknown, all of it for the first, and context (B, N')."""
    rng = np.random.default_rng(0)
    grid, other = layout.grids[target], layout.grids[OTHER[target]]
    tokens = rng.integers(0, grid.codebook_size, (n_members, grid.n_tokens), dtype=np.int32)
    mask = rng.random(tokens.shape) < rng.random((n_members, 1))
    mask[0] = True
    tokens[mask] = grid.mask_token
    context = rng.integers(0, other.codebook_size, (n_members, other.n_tokens), dtype=np.int32)
    return tokens, context


def _torch_logits(
    models: Models, target: str, tokens: IntArray, context: IntArray, is_seen: bool
) -> Array:
    """By the module itself, not by what is exported of it."""
    model, layout = models.transformer, models.layout
    asked, given = torch.from_numpy(tokens), torch.from_numpy(context)
    if model.form == "context":
        seen = model.context(given, OTHER[target]) if is_seen else None
        return np.asarray(model.logits(asked, target, seen).numpy())
    given = given if is_seen else torch.full_like(given, layout.mask_token_id)
    both = {target: asked, OTHER[target]: given}
    logits = model(torch.cat([both[medium] for medium in MEDIA], dim=1))
    part = layout.image_slice if target == "image" else layout.audio_slice
    return np.asarray(logits[:, part, : layout.grids[target].codebook_size].numpy())


def _batches(inputs: Tensor) -> list[Array]:
    return [part.contiguous().numpy() for part in inputs.split(_BATCH)]


def _torch(part: Part, asked: Array) -> Array:
    output: Tensor = part.module(*map(torch.from_numpy, _inputs(part, asked)))
    return output.numpy()


def _onnx(model: Model, name: str, part: Part, asked: Array) -> Array:
    inputs = dict(zip(part.signature.inputs, _inputs(part, asked), strict=True))
    (output,) = model.session(name).run(inputs).values()
    return output


def _inputs(part: Part, asked: Array) -> list[Array]:
    """What a graph is asked, and behind it the noise that it may take."""
    noise = part.signature.inputs.get("noise")
    if noise is None:
        return [asked]
    shape = (len(asked), *(int(dim) for dim in noise.shape[1:]))
    return [asked, np.random.default_rng(0).random(shape, dtype=np.float32)]


def _check(name: str, pairs: list[tuple[Array, Array]], *, is_limited: bool) -> Check:
    if pairs[0][0].dtype == np.int32:
        value = float(np.concatenate([(a == b).ravel() for a, b in pairs]).mean())
        check = _at_least(name, "equal codes", value, MIN_EQUAL_CODES)
    elif name == "vocoder":
        value = min(snr_db(a, b) for parts in pairs for a, b in zip(*parts, strict=True))
        check = _at_least(name, "lowest SNR, dB", value, MIN_SNR_DB)
    else:
        check = _close(name, max(float(np.abs(a - b).max()) for a, b in pairs))
    return check if is_limited else replace(check, limit=None, is_ok=True)


def _at_least(name: str, metric: str, value: float, limit: float) -> Check:
    return Check(graph=name, metric=metric, value=value, limit=limit, is_ok=value >= limit)


def _close(name: str, value: float) -> Check:
    is_ok, limit = value <= MAX_DIFFERENCE, MAX_DIFFERENCE
    return Check(graph=name, metric="largest difference", value=value, limit=limit, is_ok=is_ok)
