"""How a token is drawn: ``echoes_rt.decode.reference.draw``, of many and on any device."""

import numpy as np
from torch import Tensor
from torch.nn import functional as F


def weights_of(logits: Tensor, *, temperature: np.float32) -> Tensor:
    """(..., V) float64 of (..., V) logits: how likely each token is, but for a factor."""
    if temperature == 0:
        return F.one_hot(logits.argmax(dim=-1), logits.shape[-1]).double()
    below_best = (logits - logits.amax(dim=-1, keepdim=True)).double()
    return (below_best / float(temperature)).exp()


def draw(weights: Tensor, uniforms: Tensor) -> Tensor:
    """(...,) int64 tokens of (..., V) weights and (...,) float64 uniforms, by inverse CDF."""
    sums = weights.cumsum(dim=-1)
    short = sums < uniforms[..., None] * sums[..., -1:]
    return short.sum(dim=-1).clamp(max=weights.shape[-1] - 1)
