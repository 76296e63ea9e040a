"""Which of several results the model itself believes most."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from echoes_rt.decode.reference import FloatArray, IntArray

if TYPE_CHECKING:
    from echoes_rt.engine import Engine


def likeliest(engine: Engine, tokens: IntArray, *, asked: str) -> NDArray[np.intp]:
    """The order of (B, N) decoded sequences, best first.

    A result is as good as it explains what it was made from: the log-likelihood of the given
    medium's codes, all masked, with the result in full view. The same network answers, since it
    is trained in both directions; docs/evaluation.md compares other scores.

    Args:
        engine: has the step graph.
        tokens: (B, N) without masks.
        asked: ``audio`` or ``image``, the medium that was made.
    """
    layout = engine.manifest.tokens
    given = layout.image_slice if asked == "audio" else layout.audio_slice
    size = (layout.image if asked == "audio" else layout.audio).codebook_size
    hidden = tokens.copy()
    hidden[:, given] = layout.mask_token_id
    scores = []
    for question, answer in zip(hidden, tokens, strict=True):
        logits = engine.logits(question[None])[0, given, :size]
        scores.append(_log_likelihood(logits, answer[given]))
    return np.argsort(-np.array(scores), kind="stable")


def _log_likelihood(logits: FloatArray, codes: IntArray) -> float:
    """Sum over positions of the log-probability of (N,) codes under (N, V) logits."""
    below_best = logits - logits.max(axis=1, keepdims=True)
    log_totals = np.log(np.exp(below_best).sum(axis=1))
    return float((below_best[np.arange(len(codes)), codes] - log_totals).sum())
