"""Whether a device makes the tokens and the samples that the CPU makes in float32."""

from collections.abc import Iterable
from dataclasses import asdict

from echoes_rt.comparison import compare, noise_pictures
from echoes_rt.format.engine_file import PRECISIONS
from echoes_rt.model import Model
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
