"""Writes the fixtures: python tests/make_fixtures.py golden|bundle FOLDER.

``golden`` needs numpy alone, and a test holds its output to the committed files byte by byte.
``bundle`` needs the export extra: what the exporter makes of tiny models with random weights. It is
rebuilt by hand when the format of bundles changes, because the exporter's bytes change with its
version; tests/export holds it to what it puts out.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from echoes_rt.decode import reference
from echoes_rt.decode.noise import uniforms
from echoes_rt.decode.plan import DecodePlan, make_plan
from echoes_rt.spec.mel import MelSpec, mel_filterbank
from echoes_rt.spec.sampling import SamplingDefaults
from echoes_rt.spec.schedule import num_masked
from echoes_rt.spec.tokens import Grid, TokenLayout

MEL = MelSpec(
    n_fft=256, win_length=256, hop_length=64, n_mels=16, f_min=0.0, f_max=8000.0, n_frames=32
)
TOKENS = TokenLayout(
    image=Grid(height=4, width=4, codebook_size=16), audio=Grid(height=2, width=4, codebook_size=16)
)
SAMPLING = SamplingDefaults(steps=4, guidance_scale=2.0, temperature=1.0, choice_temperature=4.5)

GOLDEN_SEEDS = (0, 1, 2**32, 2**64 - 1)


def mock_logits(tokens: np.ndarray, vocab_size: int) -> np.ndarray:
    """Integer logits in [-4, 4] that depend on every token, so that rounding cannot move them."""
    position = np.arange(tokens.shape[1])[None, :, None]
    code = np.arange(vocab_size)[None, None, :]
    context = (tokens * (2 * np.arange(tokens.shape[1]) + 1)).sum(axis=1)[:, None, None]
    return ((7 * position + 5 * code + 3 * position * code + context) % 9 - 4).astype(np.float32)


def golden_schedule() -> dict[str, Any]:
    pairs = [(1, 1), (8, 3), (8, 8), (135, 8), (135, 12), (265, 8), (265, 16), (265, 265)]
    return {"num_masked": [{"n_tokens": n, "steps": k, "kept": num_masked(n, k)} for n, k in pairs]}


def golden_noise() -> dict[str, Any]:
    """Uniforms times 2**24, which are odd whole numbers."""
    return {
        "streams": [
            {
                "seed": str(seed),
                "steps": 3,
                "n_tokens": 5,
                "uniforms_times_2_24": (uniforms([seed], 3, 5)[:, :, 0].ravel() * 2.0**24)
                .astype(int)
                .tolist(),
            }
            for seed in GOLDEN_SEEDS
        ]
    }


def golden_mel() -> dict[str, Any]:
    rows = mel_filterbank(MEL)[[0, 7, 15]]
    return {"rows": [0, 7, 15], "filterbank": [[round(float(x), 9) for x in row] for row in rows]}


def golden_decode() -> dict[str, Any]:
    return {"vocab_size": TOKENS.vocab_size, "traces": [_trace(case) for case in _decode_cases()]}


def _decode_cases() -> list[dict[str, Any]]:
    image, audio = TOKENS.image.n_tokens, TOKENS.audio.n_tokens
    to_audio = [False] * image + [True] * audio
    to_image = [True] * image + [False] * audio
    partly = [i % 3 != 0 for i in range(image + audio)]
    plain = {"steps": 4, "guidance_scale": 3.0, "temperature": 1.0, "choice_temperature": 4.5}
    return [
        {"seeds": [0], "masks": [to_audio], **plain},
        {"seeds": [1, 2], "masks": [to_audio, to_image], **plain},
        {"seeds": [3, 4, 5], "masks": [to_audio, partly, [True] * (image + audio)], **plain},
        {"seeds": [6], "masks": [to_audio], **plain, "guidance_scale": 1.0},
        {"seeds": [7], "masks": [to_audio], **plain, "temperature": 0.0},
        {"seeds": [8], "masks": [to_audio], **plain, "temperature": 0.5, "choice_temperature": 0.0},
        {"seeds": [9], "masks": [to_audio], **plain, "steps": 1},
        {"seeds": [10], "masks": [to_audio], **plain, "steps": 8},
    ]


def _trace(case: dict[str, Any]) -> dict[str, Any]:
    mask = np.array(case["masks"])
    known = np.random.default_rng(0).integers(0, TOKENS.vocab_size, mask.shape)
    tokens = np.where(mask, TOKENS.mask_token_id, known).astype(np.int32)
    condition = ~mask
    sampling = SamplingDefaults(
        **{name: value for name, value in case.items() if name not in ("seeds", "masks")}
    )
    plan = make_plan(mask, sampling)
    decoded = reference.decode(
        lambda seen: mock_logits(seen, TOKENS.vocab_size),
        tokens,
        mask,
        plan,
        uniforms(case["seeds"], sampling.steps, TOKENS.n_tokens),
        condition=condition,
        mask_token_id=TOKENS.mask_token_id,
    )
    return {
        "seeds": case["seeds"],
        "mask_token_id": TOKENS.mask_token_id,
        "tokens": tokens.tolist(),
        "condition": condition.astype(int).tolist(),
        "plan": _plan_dict(plan),
        "decoded": decoded.tolist(),
    }


def _plan_dict(plan: DecodePlan) -> dict[str, Any]:
    return {
        "keep": plan.keep.tolist(),
        "temperature": plan.temperature.tolist(),
        "choice_temperature": plan.choice_temperature.tolist(),
        "guidance_scale": plan.guidance_scale.tolist(),
    }


def write_golden(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, make in (
        ("schedule", golden_schedule),
        ("noise", golden_noise),
        ("mel", golden_mel),
        ("decode", golden_decode),
    ):
        text = json.dumps(make(), indent=None, separators=(",", ":"))
        # One number list per line keeps diffs readable without a line per number.
        (folder / f"{name}.json").write_text(text.replace('},{"', '},\n{"') + "\n", "utf-8")


def write_bundle(folder: Path) -> None:
    from echoes_export import write_bundle as export
    from echoes_export.about import About
    from echoes_export.models import random_models
    from echoes_export.precision import rounded
    from echoes_training.presets import PRESETS

    about = About(
        name="echoes-tiny",
        created_by="tests/make_fixtures.py",
        description="Random weights, for tests.",
        labels=("noise",),
        sampling=SAMPLING,
    )
    models = rounded(random_models(PRESETS["tiny"], seed=1), "fp16")
    export.write_bundle(
        folder, models, about, weights="fp16", accept=lambda _: None, overwrite=True
    )


if __name__ == "__main__":
    {"golden": write_golden, "bundle": write_bundle}[sys.argv[1]](Path(sys.argv[2]))
