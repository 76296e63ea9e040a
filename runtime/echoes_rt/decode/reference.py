"""The decoding loop in plain numpy, one token at a time: the oracle for every other body."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from echoes_rt.decode.plan import BoolArray, DecodePlan

IntArray = NDArray[np.int32]
FloatArray = NDArray[np.float32]

LOGIT_FLOOR = np.float32(-1e30)
"""Takes the place of -inf, so that differences of logits are never NaN."""

REAL = np.float64
"""What tokens are drawn and ranked in: with it, neither the last bit of another library's ``exp``
nor the order of a sum decides between two tokens."""


def decode(
    logits_fn: Callable[[IntArray], FloatArray],
    tokens: IntArray,
    mask: BoolArray,
    plan: DecodePlan,
    uniforms: FloatArray,
    *,
    condition: BoolArray,
    mask_token_id: int,
) -> IntArray:
    """Fills in every unknown token in ``plan.steps`` parallel passes; known ones never change.

    Args:
        logits_fn: (B, N) tokens to (B, N, V) logits.
        tokens: (B, N); what it holds where unknown does not matter.
        mask: (B, N), True where unknown.
        plan: for B members.
        uniforms: (K, 2, B, N), strictly between 0 and 1.
        condition: (B, N), True where the unconditional branch sees ``mask_token_id``.
        mask_token_id: stands for unknown.

    Returns:
        (B, N) with no mask left.
    """
    tokens = np.where(mask, mask_token_id, tokens).astype(np.int32)
    mask = mask.copy()
    for step in range(plan.steps):
        logits = guided_logits(
            logits_fn, tokens, condition, plan.guidance_scale[step], mask_token_id
        )
        for member in range(len(tokens)):
            unknown = np.flatnonzero(mask[member])
            confidence = np.empty(len(unknown), dtype=np.float32)
            for i, position in enumerate(unknown):
                token, log_prob = draw(
                    logits[member, position],
                    plan.temperature[step],
                    uniforms[step, 0, member, position],
                )
                tokens[member, position] = token
                gumbel = -np.log(-np.log(REAL(uniforms[step, 1, member, position])))
                # Rounded to float32: what is equal but for the order of a sum is equal.
                confidence[i] = log_prob + REAL(plan.choice_temperature[step]) * gumbel
            # The least confident are masked again; of equals, the one that comes first.
            order = unknown[np.argsort(confidence, kind="stable")]
            again = order[: plan.keep[step, member]]
            mask[member] = False
            mask[member, again] = True
            tokens[member, again] = mask_token_id
    return tokens


def guided_logits(
    logits_fn: Callable[[IntArray], FloatArray],
    tokens: IntArray,
    condition: BoolArray,
    guidance_scale: np.float32,
    mask_token_id: int,
) -> FloatArray:
    conditional = np.asarray(np.maximum(logits_fn(tokens), LOGIT_FLOOR))
    if guidance_scale == 1 or not condition.any():
        return conditional
    unconditional = np.maximum(
        logits_fn(np.where(condition, np.int32(mask_token_id), tokens)), LOGIT_FLOOR
    )
    return np.asarray(unconditional + guidance_scale * (conditional - unconditional))


def draw(
    logits: FloatArray, temperature: np.float32, uniform: np.float32
) -> tuple[int, np.float64]:
    """Draws one token from (V,) logits by inverse CDF.

    Returns:
        The token and its log-probability at temperature 1: confidence is the model's own,
        however boldly tokens are drawn.
    """
    below_best = REAL(logits - logits.max())  # at most 0, so that no temperature overflows
    if temperature == 0:
        token = int(np.argmax(logits))
    else:
        cumulative = np.cumsum(np.exp(below_best / REAL(temperature)))
        # The first token whose cumulative weight reaches the threshold.
        token = int(np.argmax(cumulative >= REAL(uniform) * cumulative[-1]))
    return token, below_best[token] - np.log(np.exp(below_best).sum())
