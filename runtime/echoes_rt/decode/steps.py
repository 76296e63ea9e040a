"""The decoding loop: graph ``decode_*_step`` once a step, or graph ``decode_*`` once."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from echoes_rt.backends.base import Session, StepSession
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
    inputs = []
    for step in range(plan.steps):
        scale = plan.guidance_scale[step]
        # Without a context, the branch without it is the only one.
        n_alone = members if scale != 1 or not has_context else 0
        taken = {
            "positions": plan.positions[step],
            "uniforms": noise[step],
            **{name: values[step : step + 1] for name, values in plan.drawing.items()},
        }
        if "guidance_scale" in session.inputs:
            taken["guidance_scale"] = np.full(n_alone, scale, dtype=np.float32)
        inputs.append(taken)
    return session.run_steps(
        tokens, context, inputs, lambda step: report(on_step, step, plan.steps)
    )


def decode_at_once(
    session: Session,
    tokens: IntArray,
    context: NDArray[Any],
    plan: Plan,
    uniforms: FloatArray,
    on_step: OnStep | None = None,
) -> IntArray:
    """``decode`` by graph ``decode_*``; ``on_step`` is told of all steps after the last."""
    inputs = {
        "tokens": tokens,
        "context": context,
        "positions": plan.positions,
        "uniforms": noise_of(plan, uniforms),
        **plan.drawing,
    }
    if "guidance_scale" in session.inputs:
        inputs["guidance_scale"] = plan.guidance_scale
    decoded = np.asarray(session.run(inputs)["decoded"])
    for step in range(plan.steps):
        report(on_step, step, plan.steps)
    return decoded


def report(on_step: OnStep | None, step: int, steps: int) -> None:
    """Raises CancelledError if ``on_step`` returned False."""
    if on_step is not None and on_step(step, steps) is False:
        raise CancelledError(f"cancelled after step {step + 1} of {steps}")
