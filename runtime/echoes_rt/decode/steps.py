"""The decoding loop on the host: graph ``decode_*_step``, as often as the plan has steps."""

from collections.abc import Callable

import numpy as np

from echoes_rt.backends.base import StepSession
from echoes_rt.decode.plan import FloatArray, IntArray, Plan, noise_of
from echoes_rt.errors import CancelledError

OnStep = Callable[[int, int], bool | None]
"""Called after each step with its 0-based index and the number of steps; False cancels."""


def decode(
    session: StepSession,
    tokens: IntArray,
    context: FloatArray | IntArray,
    plan: Plan,
    uniforms: FloatArray,
    on_step: OnStep | None = None,
) -> IntArray:
    """Gives token for token what ``reference.decode`` gives.

    Args:
        session: of the graph.
        tokens: (B, N) of the target, its mask token where unknown.
        context: what graph ``context_*`` gave, of B members or of none.
        plan: for B members.
        uniforms: (B, N).
        on_step: see ``OnStep``.

    Raises:
        CancelledError: if ``on_step`` returned False.
    """
    noise = noise_of(plan, uniforms)
    members, has_context = len(tokens), len(context) > 0
    with session.begin(tokens, context) as state:
        for step in range(plan.steps):
            scale = plan.guidance_scale[step]
            # Without a context, the branch without it is the only one.
            n_alone = members if scale != 1 or not has_context else 0
            inputs = {
                "positions": plan.positions[step],
                "uniforms": noise[step],
                "temperature": plan.temperature[step : step + 1],
            }
            if "guidance_scale" in session.inputs:
                inputs["guidance_scale"] = np.full(n_alone, scale, dtype=np.float32)
            state.step(inputs)
            report(on_step, step, plan.steps)
        return state.tokens()


def report(on_step: OnStep | None, step: int, steps: int) -> None:
    """Raises CancelledError if ``on_step`` returned False."""
    if on_step is not None and on_step(step, steps) is False:
        raise CancelledError(f"cancelled after step {step + 1} of {steps}")
