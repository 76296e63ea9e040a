"""The decoding loop around graph ``decode_step``: the tokens never leave the device."""

import numpy as np

from echoes_rt.backends.bound import BoundStep
from echoes_rt.decode.plan import BoolArray, DecodePlan
from echoes_rt.decode.reference import FloatArray, IntArray
from echoes_rt.decode.stepwise import OnStep
from echoes_rt.errors import CancelledError


def decode(
    step: BoundStep,
    tokens: IntArray,
    mask: BoolArray,
    plan: DecodePlan,
    uniforms: FloatArray,
    *,
    condition: BoolArray,
    mask_token_id: int,
    on_step: OnStep | None = None,
) -> IntArray:
    """Gives token for token what ``reference.decode`` gives, with its arguments.

    Raises:
        CancelledError: if ``on_step`` returned False.
    """
    is_guided = bool(condition.any())
    with step.begin(np.where(mask, mask_token_id, tokens), condition) as state:
        for index in range(plan.steps):
            row = slice(index, index + 1)
            dials = {name: values[row] for name, values in vars(plan).items()}
            dials["uniforms"] = uniforms[row]
            state.step(dials, is_guided=is_guided and plan.guidance_scale[index] != 1)
            if on_step is not None and on_step(index, plan.steps) is False:
                raise CancelledError(f"cancelled after step {index + 1} of {plan.steps}")
        return np.asarray(state.tokens(), dtype=np.int32)
