"""The decoding loop in plain numpy, one token at a time: the oracle for every graph."""

from collections.abc import Callable

import numpy as np

from echoes_rt.decode.plan import FloatArray, IntArray, Plan

LOGIT_FLOOR = np.float32(-1e30)
"""Takes the place of -inf, so that differences of logits are never NaN."""

REAL = np.float64
"""What tokens are drawn in: with it, neither the last bit of another library's ``exp`` nor the
order of a sum decides between two tokens."""

LogitsOf = Callable[[IntArray, bool], FloatArray]
"""(B, N) tokens, and whether the context is seen, to (B, N, V) logits."""


def decode(
    logits_of: LogitsOf,
    tokens: IntArray,
    plan: Plan,
    uniforms: FloatArray,
    *,
    has_context: bool,
) -> IntArray:
    """Fills in what the plan says in ``plan.steps`` parallel passes; all else never changes.

    Args:
        logits_of: the network.
        tokens: (B, N) of the target, its mask token where unknown.
        plan: for B members.
        uniforms: (B, N), strictly between 0 and 1.
        has_context: whether there is something to be guided by.

    Returns:
        (B, N) with no mask left.
    """
    tokens = tokens.copy()
    for step in range(plan.steps):
        logits = guided_logits(logits_of, tokens, plan.guidance_scale[step], has_context)
        for member, positions in enumerate(plan.positions[step]):
            for position in positions[positions < tokens.shape[1]]:
                tokens[member, position] = draw(
                    logits[member, position], uniforms[member, position], **plan.drawing_at(step)
                )
    return tokens


def guided_logits(
    logits_of: LogitsOf, tokens: IntArray, scale: np.float32, has_context: bool
) -> FloatArray:
    seen = np.asarray(np.maximum(logits_of(tokens, has_context), LOGIT_FLOOR))
    if scale == 1 or not has_context:
        return seen
    alone = np.maximum(logits_of(tokens, False), LOGIT_FLOOR)
    return np.asarray(alone + scale * (seen - alone))


def draw(logits: FloatArray, uniform: np.float32, *, temperature: np.float32) -> int:
    """One token from (V,) logits, by inverse CDF; takes all of ``DRAWING``."""
    if temperature == 0:
        return int(np.argmax(logits))
    below_best = REAL(logits - logits.max())  # at most 0, so that no temperature overflows
    cumulative = np.cumsum(np.exp(below_best / REAL(temperature)))
    # The first token whose cumulative weight reaches the threshold.
    return int(np.argmax(cumulative >= REAL(uniform) * cumulative[-1]))
