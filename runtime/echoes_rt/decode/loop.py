"""The decoding loop in one call: graph ``decode_*``."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from echoes_rt.backends.base import Session
from echoes_rt.decode.plan import FloatArray, IntArray, Plan, noise_of


def decode(
    session: Session, tokens: IntArray, context: NDArray[Any], plan: Plan, uniforms: FloatArray
) -> IntArray:
    """``steps.decode`` without a chance to look on."""
    inputs = {
        "tokens": tokens,
        "context": context,
        "positions": plan.positions,
        "uniforms": noise_of(plan, uniforms),
        "temperature": plan.temperature,
    }
    if "guidance_scale" in session.inputs:
        inputs["guidance_scale"] = plan.guidance_scale
    return np.asarray(session.run(inputs)["decoded"])
