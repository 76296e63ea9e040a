"""Whether a device makes what the CPU makes, again and again, in the same time and memory."""

import time
from collections.abc import Iterable
from dataclasses import asdict
from itertools import count

import numpy as np

from echoes_rt.comparison import compare, noise_pictures
from echoes_rt.errors import EchoesError
from echoes_rt.format.engine_file import PRECISIONS
from echoes_rt.model import Model
from echoes_rt.nvidia.gpu import Gpu
from echoes_rt.nvidia.gpu_check import FAILED, PASSED, Outcome

MEMBERS = 16
"""Questions: sounds of random pictures, each with a seed of its own."""

# One step, so that a flipped token cannot draw others after it. Float32 leaves only ties, which
# are rare; half precision moves a cumulative weight by up to a thousandth and more.
MAX_FLIPS = {"fp32": 0.005, "fp16": 0.05, "int8": 0.30}

# Of the samples of given tokens. int8 is in the transformer alone: all else is as in fp16, which
# gives 59 dB with products summed in float32 (docs/gpu.md); a GPU may sum in float16.
MIN_SNR_DB = {"fp32": 60.0, "fp16": 30.0, "int8": 30.0}

_SOUND = ("mel_decoder", "vocoder")

MAX_GROWTH_MB = 64.0
"""Of the GPU's memory after the first quarter. Others may use the GPU, so it is not tight."""

MAX_SLOWDOWN = 1.25
"""Of the last quarter's median over the first's: more is heat."""

_MIN_RUNS = 8


def check_parity(cpu: Model, other: Model) -> Outcome:
    """``compare`` with limits: on the tokens of one step, and on the sounds of the same tokens."""
    precision = _precision(other, other.decoding_graphs("audio"))
    of_sound = _precision(other, _SOUND)
    checks = compare(cpu, other, noise_pictures(cpu.manifest.image, MEMBERS))
    found = {(check.graph, check.metric): check.value for check in checks}
    one = 1 - found["decode_audio_step", "equal tokens of one step"]
    every = 1 - found["decode_audio_step", "equal tokens of all steps"]
    snr = found["sound", "lowest SNR, dB"]
    is_right = one <= MAX_FLIPS[precision] and snr >= MIN_SNR_DB[of_sound]
    return Outcome(
        check="parity",
        device=other.choice.device,
        status=PASSED if is_right else FAILED,
        said=(
            f"{precision}: {one:.3%} of tokens differ after one step (at most "
            f"{MAX_FLIPS[precision]:.1%}), {every:.2%} after all; samples of equal "
            f"tokens in {of_sound} {snr:.0f} dB (at least {MIN_SNR_DB[of_sound]:.0f})"
        ),
        figures={
            "precision": precision,
            "precision_of_sound": of_sound,
            "members": MEMBERS,
            "flips_one_step": one,
            "flips_all_steps": every,
            "snr_db": snr,
            "checks": [asdict(check) for check in checks],
        },
    )


def _precision(model: Model, graphs: Iterable[str]) -> str:
    """The lowest in which one of them computes."""
    return max(map(model.precision, graphs), key=PRECISIONS.index)


def check_soak(model: Model, seconds: float) -> Outcome:
    """Decodes and vocodes for so long, always the same question."""
    layout = model.manifest.tokens
    tokens = np.full((1, layout.audio.n_tokens), layout.audio.mask_token, dtype=np.int32)
    image = np.zeros((1, layout.image.n_tokens), dtype=np.int32)
    times_ms, free_mb, n_different = [], [], 0
    expected = None
    end = time.perf_counter() + seconds
    gpu = _gpu()
    for run in count():
        if run >= _MIN_RUNS and time.perf_counter() > end:
            break
        start = time.perf_counter()
        codes = model.decode_tokens("audio", tokens, image, seeds=[1])
        model.decode_audio(codes)
        times_ms.append((time.perf_counter() - start) * 1000)
        free_mb.append(gpu.free_memory_mb() if gpu is not None else 0.0)
        expected = codes if expected is None else expected
        n_different += not np.array_equal(codes, expected)
    return _outcome(model.choice.device, times_ms, free_mb, n_different)


def _outcome(device: str, times_ms: list[float], free_mb: list[float], n_different: int) -> Outcome:
    quarter = len(times_ms) // 4
    first, last = (
        float(np.median(part)) for part in (times_ms[1 : quarter + 1], times_ms[-quarter:])
    )
    growth_mb = free_mb[quarter] - free_mb[-1]
    slowdown = last / first
    is_right = not n_different and growth_mb <= MAX_GROWTH_MB and slowdown <= MAX_SLOWDOWN
    p50, p95 = np.percentile(times_ms[1:], (50, 95)).tolist()
    return Outcome(
        check="soak",
        device=device,
        status=PASSED if is_right else FAILED,
        said=(
            f"{len(times_ms)} sounds, {n_different} differ; {p50:.1f} ms p50, {p95:.1f} ms p95; "
            f"the last quarter took {slowdown:.2f} times the first (at most {MAX_SLOWDOWN}); "
            f"memory grew {growth_mb:.0f} MB (at most {MAX_GROWTH_MB:.0f})"
        ),
        figures={
            "runs": len(times_ms),
            "different": n_different,
            "p50_ms": p50,
            "p95_ms": p95,
            "slowdown": slowdown,
            "growth_mb": growth_mb,
        },
    )


def _gpu() -> Gpu | None:
    try:
        return Gpu()
    except EchoesError:
        return None
