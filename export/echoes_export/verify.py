"""Compares the graphs of a bundle with the torch modules that they come from."""

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import torch
from torch import Tensor, nn

from echoes_export.checks import MIN_SNR_DB, Array, Check, snr_db
from echoes_export.inputs import Inputs
from echoes_export.models import Models
from echoes_export.verify_fused import verify_fused
from echoes_export.wrappers import graph_modules
from echoes_rt.backends.onnx import OnnxSession
from echoes_rt.bundle import Bundle
from echoes_rt.spec.tokens import TokenLayout

Run = Callable[[Array], Array]

MIN_EQUAL_CODES = 0.999
MAX_DIFFERENCE = 1e-3

_BATCH = 8


def verify_bundle(bundle: Bundle, models: Models, inputs: Inputs) -> list[Check]:
    """Every graph against torch with the weights that the bundle stores, on this machine's CPU."""
    graphs = bundle.manifest.graphs
    with torch.inference_mode():
        modules = graph_modules(models)
        questions = _questions(modules, models.layout, inputs)
        checks = []
        for name, module in modules.items():
            session = OnnxSession(bundle.graph_path(name), graphs[name].signature, "cpu")
            run = _session_run(session, graphs[name].signature.inputs)
            pairs = [(_torch_run(module)(part), run(part)) for part in questions[name]]
            checks.append(_check(name, pairs, is_limited=True))
    images = _batches(inputs.image)[0]
    return checks + verify_fused(bundle, images, len(images))


def rounding_effect(models: Models, stored: Models, inputs: Inputs) -> list[Check]:
    """How far the stored weights move the torch modules; for information."""
    with torch.inference_mode():
        before, after = graph_modules(models), graph_modules(stored)
        questions = _questions(after, models.layout, inputs)
        return [
            _check(
                name,
                [
                    (_torch_run(before[name])(part), _torch_run(after[name])(part))
                    for part in questions[name]
                ],
                is_limited=False,
            )
            for name in before
        ]


def _questions(
    modules: dict[str, nn.Module], layout: TokenLayout, inputs: Inputs
) -> dict[str, list[Array]]:
    """Batches for every graph; the later graphs are asked what the encoders answer."""
    images, mels = _batches(inputs.image), _batches(inputs.mel)
    image_codes = [_torch_run(modules["image_encoder"])(part) for part in images]
    audio_codes = [_torch_run(modules["mel_encoder"])(part) for part in mels]
    n_frames = inputs.mel.shape[2]
    return {
        "image_encoder": images,
        "image_decoder": image_codes,
        "mel_encoder": mels,
        "mel_decoder": audio_codes,
        "step": list(_masked(image_codes, audio_codes, layout)),
        # A second length, because frames are free.
        "vocoder": [*mels, np.ascontiguousarray(mels[0][:, :, : n_frames // 2 + 1])],
    }


def _masked(
    image_codes: list[Array], audio_codes: list[Array], layout: TokenLayout
) -> Iterator[Array]:
    """What decoding meets: the sound unknown, all unknown, and half of everything unknown."""
    rng = np.random.default_rng(0)
    for image, audio in zip(image_codes, audio_codes, strict=False):
        size = min(len(image), len(audio))
        codes = np.concatenate([image[:size], audio[:size]], axis=1)
        mask = rng.random(codes.shape) < 0.5
        mask[0::3, layout.image_slice] = False
        mask[0::3, layout.audio_slice] = True
        mask[1::3] = True
        yield np.where(mask, layout.mask_token_id, codes).astype(np.int32)


def _batches(inputs: Tensor) -> list[Array]:
    return [part.contiguous().numpy() for part in inputs.split(_BATCH)]


def _torch_run(module: nn.Module) -> Run:
    def run(array: Array) -> Array:
        output: Tensor = module(torch.from_numpy(array))
        return output.numpy()

    return run


def _session_run(session: OnnxSession, inputs: Iterable[str]) -> Run:
    (name,) = inputs

    def run(array: Array) -> Array:
        (output,) = session.run({name: array}).values()
        return output

    return run


def _check(name: str, pairs: list[tuple[Array, Array]], *, is_limited: bool) -> Check:
    if name.endswith("_encoder"):
        metric, limit, value = "equal codes", MIN_EQUAL_CODES, _equal_share(pairs)
        is_ok = value >= limit
    elif name == "vocoder":
        metric, limit = "lowest SNR, dB", MIN_SNR_DB
        value = min(snr_db(a, b) for parts in pairs for a, b in zip(*parts, strict=True))
        is_ok = value >= limit
    else:
        metric, limit = "largest difference", MAX_DIFFERENCE
        value = max(_largest_difference(a, b) for a, b in pairs)
        is_ok = value <= limit
    if not is_limited:
        return Check(graph=name, metric=metric, value=value, limit=None)
    return Check(graph=name, metric=metric, value=value, limit=limit, is_ok=bool(is_ok))


def _equal_share(pairs: list[tuple[Array, Array]]) -> float:
    return float(np.concatenate([(a == b).ravel() for a, b in pairs]).mean())


def _largest_difference(a: Array, b: Array) -> float:
    # Codes that a medium lacks score -inf on both sides, and -inf less -inf is NaN.
    same = a == b
    gap = np.abs(np.where(same, 0, a) - np.where(same, 0, b))
    return float(gap.max())
