"""Whether a device makes the tokens and the samples that the CPU makes in float32."""

from dataclasses import replace

import numpy as np

from echoes_rt.decode.reference import FloatArray, IntArray
from echoes_rt.engine import Engine
from echoes_rt.gpu_check.outcome import FAILED, PASSED, Outcome

MEMBERS = 16
"""Questions: sounds of random pictures, each with a seed of its own."""

# One step, so that a flipped token cannot draw others after it. Float32 leaves only ties, which
# are rare; half precision moves a cumulative weight by up to a thousandth and more.
MAX_FLIPS = {"fp32": 0.005, "fp16": 0.05, "int8": 0.30}
MIN_SNR_DB = {"fp32": 60.0, "fp16": 20.0, "int8": 20.0}


def check_parity(cpu: Engine, other: Engine) -> Outcome:
    """Compares tokens of one step and of all steps, and the samples of the same tokens."""
    layout = cpu.manifest.tokens
    precision = computing_precision(other)
    tokens = np.full((MEMBERS, layout.n_tokens), layout.mask_token_id, dtype=np.int32)
    image = np.random.default_rng(0).integers(
        layout.image.codebook_size, size=(MEMBERS, layout.image.n_tokens), dtype=np.int32
    )
    tokens[:, layout.image_slice] = image
    steps = cpu.sampling(layout.audio.n_tokens).steps
    flips = {n: _flips(cpu, other, tokens, n) for n in (1, steps)}
    codes = _decoded(cpu, tokens, steps)[:1, layout.audio_slice]
    snr_db = signal_to_noise_db(cpu.decode_audio(codes), other.decode_audio(codes))
    # The graphs of sound have no engine of their own, and compute in float32.
    is_right = flips[1] <= MAX_FLIPS[precision] and snr_db >= MIN_SNR_DB["fp32"]
    return Outcome(
        check="parity",
        device=other.choice.device,
        status=PASSED if is_right else FAILED,
        said=(
            f"{precision}: {flips[1]:.3%} of tokens differ after one step (at most "
            f"{MAX_FLIPS[precision]:.1%}), {flips[steps]:.2%} after {steps}; samples of equal "
            f"tokens {snr_db:.0f} dB (at least {MIN_SNR_DB['fp32']:.0f})"
        ),
        figures={
            "precision": precision,
            "members": MEMBERS,
            "flips_one_step": flips[1],
            "flips_all_steps": flips[steps],
            "steps": steps,
            "snr_db": snr_db,
        },
    )


def check_one_call(cpu: Engine, other: Engine) -> Outcome:
    """The samples of an engine that goes from picture to sound, by the codes that it gives."""
    precision = other.choice.engines["image_to_audio"].record.key.precision
    layout, spec = cpu.manifest.tokens, cpu.manifest.image
    picture = np.random.default_rng(1).integers(256, size=(spec.height, spec.width, 3))
    sampling = cpu.sampling(layout.audio.n_tokens)
    samples, codes = other.image_to_samples(picture.astype(np.uint8), seeds=[1], sampling=sampling)
    snr_db = signal_to_noise_db(cpu.decode_audio(codes), samples)
    return Outcome(
        check="one call",
        device=other.choice.device,
        status=PASSED if snr_db >= MIN_SNR_DB[precision] else FAILED,
        said=f"{precision}: samples of its codes {snr_db:.0f} dB (at least "
        f"{MIN_SNR_DB[precision]:.0f})",
        figures={"precision": precision, "snr_db": snr_db},
    )


def computing_precision(engine: Engine) -> str:
    """In which precision the loop computes; ONNX Runtime's providers all do in float32."""
    found = engine.choice.engines.get(engine.loop_graph())
    return "fp32" if found is None else found.record.key.precision


def signal_to_noise_db(expected: FloatArray, got: FloatArray) -> float:
    """Capped at 200, so that JSON can hold it."""
    noise = float(np.square(expected.astype(np.float64) - got).sum())
    signal = float(np.square(expected.astype(np.float64)).sum())
    return 200.0 if noise == 0 else min(200.0, 10 * float(np.log10(max(signal, 1e-30) / noise)))


def _flips(cpu: Engine, other: Engine, tokens: IntArray, steps: int) -> float:
    """Share of unknown tokens that differ."""
    mask = tokens == cpu.manifest.tokens.mask_token_id
    made = [_decoded(engine, tokens, steps)[mask] for engine in (cpu, other)]
    return float((made[0] != made[1]).mean())


def _decoded(engine: Engine, tokens: IntArray, steps: int) -> IntArray:
    layout = engine.manifest.tokens
    sampling = replace(engine.sampling(layout.audio.n_tokens), steps=steps)
    mask = tokens == layout.mask_token_id
    return engine.decode_tokens(tokens, mask, seeds=range(len(tokens)), sampling=sampling)
