"""Compares the fused graphs of a bundle with the numpy reference and with the graphs they join."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from echoes_export.checks import MIN_SNR_DB, Array, Check, snr_db
from echoes_rt.backends.bound import BoundStep
from echoes_rt.backends.onnx import OnnxSession
from echoes_rt.bundle import Bundle
from echoes_rt.decode import fused, reference, resident
from echoes_rt.decode.noise import uniforms
from echoes_rt.decode.plan import known_media, make_plan
from echoes_rt.spec.tokens import TokenLayout

# Where the processor sums a row in another order, one token in very many is drawn differently, and
# with it those that follow in its member. A wrong graph has hardly any token right.
MIN_EQUAL_TOKENS = 0.9

_MEMBERS = 8


def verify_fused(bundle: Bundle, images: Array, n_members: int = _MEMBERS) -> list[Check]:
    """``decode`` and ``image_to_audio`` on this machine's CPU, as far as the bundle has them.

    Args:
        bundle: whose other graphs are right.
        images: (B, 3, H, W), normalised.
        n_members: of the batch that ``decode`` is asked about.
    """
    graphs = bundle.manifest.graphs
    checks = []
    loops: list[str] = [graph for graph in ("decode", "decode_step") if graph in graphs]
    if loops:
        checks += _check_loops(bundle, loops, n_members)
    if "image_to_audio" in graphs:
        checks.append(_check_chain(bundle, images[:_MEMBERS]))
    return checks


def _check_loops(bundle: Bundle, graphs: list[str], n_members: int) -> list[Check]:
    """``decode``, and the host's loop around ``decode_step``, against the reference."""
    layout = bundle.manifest.tokens
    tokens, mask = mixed_questions(layout, n_members)
    plan = make_plan(mask, bundle.manifest.sampling)
    asked = (tokens, mask, plan, uniforms(range(n_members), plan.steps, layout.n_tokens))
    condition = known_media(mask, layout)
    step = _session(bundle, "step")
    known: dict[str, Any] = {"condition": condition, "mask_token_id": layout.mask_token_id}
    expected = reference.decode(lambda seen: step.run({"tokens": seen})["logits"], *asked, **known)
    loops: dict[str, Callable[[], Array]] = {
        "decode": lambda: fused.decode(_session(bundle, "decode"), *asked, condition=condition),
        "decode_step": lambda: resident.decode(_resident(bundle), *asked, **known),
    }
    checks = []
    for graph in graphs:
        decoded = loops[graph]()
        # A known token that changes is wrong on every machine.
        share = float((decoded == expected)[mask].mean()) * bool((decoded == tokens)[~mask].all())
        checks.append(
            Check(
                graph=graph,
                metric="equal tokens",
                value=share,
                limit=MIN_EQUAL_TOKENS,
                is_ok=share >= MIN_EQUAL_TOKENS,
            )
        )
    return checks


def _resident(bundle: Bundle) -> BoundStep:
    graph = "decode_step"
    return BoundStep(bundle.graph_path(graph), bundle.manifest.graphs[graph].signature, "cpu")


def mixed_questions(layout: TokenLayout, n_members: int) -> tuple[Array, Array]:
    """Tokens and mask (B, N): a medium unknown, all unknown, and random shares of everything."""
    rng = np.random.default_rng(0)
    sizes = [layout.image.codebook_size] * layout.image.n_tokens
    sizes += [layout.audio.codebook_size] * layout.audio.n_tokens
    tokens = rng.integers(0, sizes, (n_members, layout.n_tokens), dtype=np.int32)
    mask = rng.random(tokens.shape) < rng.random((n_members, 1))
    mask[0::4] = True
    mask[0::4, layout.image_slice] = False
    mask[1::4, layout.audio_slice] = False
    mask[2:3] = True
    return tokens, mask


def _check_chain(bundle: Bundle, images: Array) -> Check:
    """The lowest SNR of a member against the single graphs; no dB at all if a code differs."""
    layout = bundle.manifest.tokens
    mask = np.zeros((len(images), layout.n_tokens), dtype=np.bool_)
    mask[:, layout.audio_slice] = True
    sampling = dataclasses.replace(
        bundle.manifest.sampling, steps=min(2, bundle.manifest.sampling.steps)
    )
    plan = make_plan(mask, sampling)
    noise = uniforms(range(len(images)), plan.steps, layout.n_tokens)
    known = _session(bundle, "image_encoder").run({"image": images})["codes"]
    tokens = np.concatenate([known, np.zeros_like(mask[:, layout.audio_slice], np.int32)], axis=1)
    tokens = fused.decode(_session(bundle, "decode"), tokens, mask, plan, noise, condition=~mask)
    codes = tokens[:, layout.audio_slice]
    mel = _session(bundle, "mel_decoder").run({"codes": codes})["mel"]
    expected = _session(bundle, "vocoder").run({"mel": mel})["waveform"]
    chain = _session(bundle, "image_to_audio")
    waveform, made = fused.image_to_audio(chain, images, plan, noise)
    value = min(snr_db(a, b) for a, b in zip(expected, waveform, strict=True))
    value = value if np.array_equal(codes, made) else float("-inf")
    return Check(
        graph="image_to_audio",
        metric="lowest SNR, dB",
        value=value,
        limit=MIN_SNR_DB,
        is_ok=value >= MIN_SNR_DB,
    )


def _session(bundle: Bundle, name: str) -> OnnxSession:
    return OnnxSession(bundle.graph_path(name), bundle.manifest.graphs[name].signature, "cpu")
