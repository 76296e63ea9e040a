"""The decoding loop on the host, one call of the step graph per step."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from echoes_rt.backends.base import Session
from echoes_rt.decode.plan import BoolArray, DecodePlan
from echoes_rt.decode.reference import LOGIT_FLOOR, REAL, FloatArray, IntArray
from echoes_rt.errors import BundleError, CancelledError

OnStep = Callable[[int, int], bool | None]
"""Called after each step with its 0-based index and the number of steps; False cancels."""


def decode(
    session: Session,
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

    Both branches of guidance go through the graph as one batch of 2 B.

    Raises:
        CancelledError: if ``on_step`` returned False.
        BundleError: if the graph's logits are not numbers.
    """
    n_members = len(tokens)
    branches = np.empty((2 * n_members, tokens.shape[1]), dtype=np.int32)
    conditional, unconditional = branches[:n_members], branches[n_members:]
    conditional[:] = np.where(mask, mask_token_id, tokens)
    mask = mask.copy()
    is_guided = bool(condition.any())
    for step in range(plan.steps):
        members, positions = np.nonzero(mask)  # sorted by member, then by position
        if len(members):
            scale = plan.guidance_scale[step]
            if is_guided and scale != 1:
                unconditional[:] = np.where(condition, mask_token_id, conditional)
                logits = session.run({"tokens": branches})["logits"]
                rows = _guide(
                    logits[members, positions], logits[members + n_members, positions], scale
                )
            else:
                logits = session.run({"tokens": conditional})["logits"]
                rows = np.maximum(logits[members, positions], LOGIT_FLOOR)
            drawn, log_probs = _draw(
                rows, plan.temperature[step], uniforms[step, 0, members, positions]
            )
            gumbel = -np.log(-np.log(uniforms[step, 1, members, positions].astype(REAL)))
            noise = REAL(plan.choice_temperature[step]) * gumbel
            confidence = (log_probs + noise).astype(np.float32)
            again = _least_confident(members, confidence, plan.keep[step])
            conditional[members, positions] = np.where(again, mask_token_id, drawn)
            mask[members, positions] = again
        if on_step is not None and on_step(step, plan.steps) is False:
            raise CancelledError(f"cancelled after step {step + 1} of {plan.steps}")
    return np.array(conditional)


def _guide(conditional: FloatArray, unconditional: FloatArray, scale: np.float32) -> FloatArray:
    conditional = np.maximum(conditional, LOGIT_FLOOR)
    unconditional = np.maximum(unconditional, LOGIT_FLOOR)
    return np.asarray(unconditional + scale * (conditional - unconditional))


def _draw(
    logits: FloatArray, temperature: np.float32, uniforms: FloatArray
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """``reference.draw`` for (M, V) logits and (M,) uniforms at once."""
    best = logits.max(axis=1, keepdims=True)
    if not np.isfinite(best).all():
        raise BundleError(
            "the step graph gave logits that are not numbers; "
            "get the bundle again or use device cpu"
        )
    below_best = (logits - best).astype(REAL)
    weights = np.exp(below_best)
    log_totals = np.log(weights.sum(axis=1))
    if temperature == 0:
        drawn = np.argmax(logits, axis=1)
    else:
        if temperature != 1:
            weights = np.exp(below_best / REAL(temperature))
        cumulative = np.cumsum(weights, axis=1)
        thresholds = uniforms.astype(REAL) * cumulative[:, -1]
        drawn = np.argmax(cumulative >= thresholds[:, None], axis=1)
    return drawn, below_best[np.arange(len(drawn)), drawn] - log_totals


def _least_confident(
    members: NDArray[np.intp], confidence: FloatArray, keep: NDArray[np.int32]
) -> BoolArray:
    """True for the ``keep[b]`` least confident of each member b; of equals, the earlier."""
    order = np.lexsort((confidence, members))  # stable: by member, then by confidence
    starts = np.searchsorted(members, np.arange(len(keep)))
    ranks = np.empty(len(members), dtype=np.intp)
    ranks[order] = np.arange(len(members)) - starts[members]
    return np.asarray(ranks < keep[members])
