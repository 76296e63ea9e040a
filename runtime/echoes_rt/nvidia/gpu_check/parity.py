"""Whether a device makes the tokens and the samples that the CPU makes in float32."""

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from echoes_rt.decode.plan import FloatArray, IntArray
from echoes_rt.format.engine_file import PRECISIONS
from echoes_rt.model import Model
from echoes_rt.nvidia.gpu_check.outcome import FAILED, PASSED, Outcome

MEMBERS = 16
"""Questions: sounds of random pictures, each with a seed of its own."""

# One step, so that a flipped token cannot draw others after it. Float32 leaves only ties, which
# are rare; half precision moves a cumulative weight by up to a thousandth and more.
MAX_FLIPS = {"fp32": 0.005, "fp16": 0.05, "int8": 0.30}

# Of the samples of given tokens. int8 is in the transformer alone: all else is as in fp16, which
# gives 59 dB with products summed in float32 (docs/gpu.md); a GPU may sum in float16.
MIN_SNR_DB = {"fp32": 60.0, "fp16": 30.0, "int8": 30.0}

_SOUND = ("mel_decoder", "vocoder")


def check_parity(cpu: Model, other: Model) -> Outcome:
    """Compares tokens of one step and of all steps, and the samples of the same tokens."""
    layout = cpu.manifest.tokens
    precision = _precision(other, other.decoding_graphs("audio"))
    of_sound = _precision(other, _SOUND)
    images = np.random.default_rng(0).integers(
        layout.image.codebook_size, size=(MEMBERS, layout.image.n_tokens), dtype=np.int32
    )
    steps = cpu.sampling(layout.audio.n_tokens).steps
    both = {n: [_decoded(model, images, n) for model in (cpu, other)] for n in (1, steps)}
    flips = {n: float((mine != others).mean()) for n, (mine, others) in both.items()}
    codes = both[steps][0][:1]
    snr_db = signal_to_noise_db(cpu.decode_audio(codes), other.decode_audio(codes))
    is_right = flips[1] <= MAX_FLIPS[precision] and snr_db >= MIN_SNR_DB[of_sound]
    return Outcome(
        check="parity",
        device=other.choice.device,
        status=PASSED if is_right else FAILED,
        said=(
            f"{precision}: {flips[1]:.3%} of tokens differ after one step (at most "
            f"{MAX_FLIPS[precision]:.1%}), {flips[steps]:.2%} after {steps}; samples of equal "
            f"tokens in {of_sound} {snr_db:.0f} dB (at least {MIN_SNR_DB[of_sound]:.0f})"
        ),
        figures={
            "precision": precision,
            "precision_of_sound": of_sound,
            "members": MEMBERS,
            "flips_one_step": flips[1],
            "flips_all_steps": flips[steps],
            "steps": steps,
            "snr_db": snr_db,
        },
    )


def _precision(model: Model, graphs: Iterable[str]) -> str:
    """The lowest in which one of them computes: a model's own, or that of the graph's variant."""
    engines = model.choice.engines
    found = set()
    for name in graphs:
        if name in engines:
            found.add(engines[name].record.key.precision)
        elif model.variant(name) != name:
            found.add("fp16")
    return max(found, key=PRECISIONS.index, default="fp32")


def signal_to_noise_db(expected: FloatArray, got: FloatArray) -> float:
    """Capped at 200, so that JSON can hold it."""
    noise = float(np.square(expected.astype(np.float64) - got).sum())
    signal = float(np.square(expected.astype(np.float64)).sum())
    return 200.0 if noise == 0 else min(200.0, 10 * float(np.log10(max(signal, 1e-30) / noise)))


def _decoded(model: Model, images: IntArray, steps: int) -> IntArray:
    """(B, N_a) sounds of (B, N_i) picture codes."""
    grid = model.manifest.tokens.audio
    tokens = np.full((len(images), grid.n_tokens), grid.mask_token, dtype=np.int32)
    sampling = replace(model.sampling(grid.n_tokens), steps=steps)
    seeds = range(len(images))
    return model.decode_tokens("audio", tokens, images, seeds=seeds, sampling=sampling)
