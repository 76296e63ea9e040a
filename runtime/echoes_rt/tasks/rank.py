"""Which of several results the model itself believes most."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from echoes_rt.decode.plan import FloatArray, IntArray
from echoes_rt.format.tokens import OTHER

if TYPE_CHECKING:
    from echoes_rt.model import Model


def likeliest(model: Model, target: str, made: IntArray, given: IntArray) -> NDArray[np.intp]:
    """The order of (B, N) decoded codes of a target, best first.

    A result is as good as it explains what it was made from: the log-likelihood of the given
    medium's codes, all masked, with the result as their context. The same network answers, since
    it is trained in both directions; docs/decisions.md compares other scores.

    Args:
        model: what decoded them.
        target: ``audio`` or ``image``, the medium that was made.
        made: without masks.
        given: (1, N') codes of the other medium.
    """
    medium = OTHER[target]
    hidden = np.full_like(given, model.manifest.tokens.grids[medium].mask_token)
    scores = [
        _log_likelihood(model.logits(medium, hidden, codes[None])[0], given[0]) for codes in made
    ]
    return np.argsort(-np.array(scores), kind="stable")


def _log_likelihood(logits: FloatArray, codes: IntArray) -> float:
    """Sum over positions of the log-probability of (N,) codes under (N, V) logits."""
    below_best = logits - logits.max(axis=1, keepdims=True)
    log_totals = np.log(np.exp(below_best).sum(axis=1))
    return float((below_best[np.arange(len(codes)), codes] - log_totals).sum())
