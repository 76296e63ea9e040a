"""The names and signatures of a bundle's graphs."""

from dataclasses import dataclass

from echoes_rt.spec.image import ImageSpec
from echoes_rt.spec.mel import MelSpec
from echoes_rt.spec.tokens import TokenLayout

BATCH = "batch"
"""A dimension given by name is free at run time."""

FRAMES = "frames"
SAMPLES = "samples"
STEPS = "steps"
GUIDED = "guided"
"""As large as the batch, or 0 where nothing guides."""

HALF = "_half"
"""Behind a graph's name: the same graph, computing in float16 where that is safe. A device of
``backends.device.HALF_KINDS`` runs it instead, if the bundle has it."""

Dim = int | str


@dataclass(frozen=True, kw_only=True)
class TensorSpec:
    """dtype is numpy's name of it; a str in shape is a free dimension."""

    dtype: str
    shape: tuple[Dim, ...]


@dataclass(frozen=True, kw_only=True)
class GraphSpec:
    """Inputs and outputs in the order in which the graph has them."""

    inputs: dict[str, TensorSpec]
    outputs: dict[str, TensorSpec]


def graph_specs(image: ImageSpec, mel: MelSpec, tokens: TokenLayout) -> dict[str, GraphSpec]:
    """Every graph of a bundle, by name.

    ``image`` is normalised as ImageSpec says, ``mel`` is in [-1, 1] as MelSpec says, codes are
    row-major, ``tokens`` hold ``mask_token_id`` where unknown, and ``logits`` score the codes of
    each position's own medium; codes beyond the medium's codebook never win (-inf). ``decode`` and
    ``image_to_audio`` run all steps of a ``decode.plan.DecodePlan``, whose fields they take;
    ``decode_step`` runs one of them, without control flow, on tokens that hold the mask token.
    """
    pixels = TensorSpec(dtype="float32", shape=(BATCH, 3, image.height, image.width))
    clip = TensorSpec(dtype="float32", shape=(BATCH, mel.n_mels, mel.n_frames))
    image_codes = TensorSpec(dtype="int32", shape=(BATCH, tokens.image.n_tokens))
    audio_codes = TensorSpec(dtype="int32", shape=(BATCH, tokens.audio.n_tokens))
    plan = _plan_tensors(tokens)
    sequence, flags = (
        TensorSpec(dtype=dtype, shape=(BATCH, tokens.n_tokens)) for dtype in ("int32", "bool")
    )
    step_plan = {
        name: TensorSpec(dtype=spec.dtype, shape=(1, *spec.shape[1:]))
        for name, spec in plan.items()
    }
    return {
        "image_encoder": GraphSpec(inputs={"image": pixels}, outputs={"codes": image_codes}),
        "image_decoder": GraphSpec(inputs={"codes": image_codes}, outputs={"image": pixels}),
        "mel_encoder": GraphSpec(inputs={"mel": clip}, outputs={"codes": audio_codes}),
        "mel_decoder": GraphSpec(inputs={"codes": audio_codes}, outputs={"mel": clip}),
        "step": GraphSpec(
            inputs={"tokens": sequence},
            outputs={
                "logits": TensorSpec(
                    dtype="float32", shape=(BATCH, tokens.n_tokens, tokens.vocab_size)
                )
            },
        ),
        "vocoder": GraphSpec(
            inputs={"mel": TensorSpec(dtype="float32", shape=(BATCH, mel.n_mels, FRAMES))},
            outputs={"waveform": TensorSpec(dtype="float32", shape=(BATCH, SAMPLES))},
        ),
        "decode": GraphSpec(
            inputs={"tokens": sequence, "mask": flags, "condition": flags, **plan},
            outputs={"decoded": sequence},
        ),
        "decode_step": GraphSpec(
            inputs={
                "tokens": sequence,
                "condition": TensorSpec(dtype="bool", shape=(GUIDED, tokens.n_tokens)),
                **step_plan,
            },
            outputs={"decoded": sequence},
        ),
        "image_to_audio": GraphSpec(
            inputs={"image": pixels, **plan},
            outputs={
                "waveform": TensorSpec(dtype="float32", shape=(BATCH, mel.n_samples)),
                "codes": audio_codes,
            },
        ),
    }


def _plan_tensors(tokens: TokenLayout) -> dict[str, TensorSpec]:
    dial = TensorSpec(dtype="float32", shape=(STEPS,))
    return {
        "keep": TensorSpec(dtype="int32", shape=(STEPS, BATCH)),
        "temperature": dial,
        "choice_temperature": dial,
        "guidance_scale": dial,
        "uniforms": TensorSpec(dtype="float32", shape=(STEPS, 2, BATCH, tokens.n_tokens)),
    }
