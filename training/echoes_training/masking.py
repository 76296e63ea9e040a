"""Which tokens are hidden in training."""

import math

import numpy as np
from numpy.typing import NDArray

from echoes_rt.spec.schedule import mask_ratio
from echoes_rt.spec.tokens import TokenLayout
from echoes_training.config import TransformerStageConfig

Mask = NDArray[np.bool_]
"""True where the token is unknown."""


def draw_mask(config: TransformerStageConfig, rng: np.random.Generator) -> Mask:
    """(N,) mask of one paired sequence, with at least one unknown token.

    ``independent`` draws a ratio for each medium: fully known, fully masked, or by the cosine
    schedule at a uniform progress. So every question that decoding asks is asked in training, the
    unconditional one of guidance (condition fully masked) among them. ``joint`` hides one share of
    the whole sequence, as MaskGIT would; there a fully masked medium hardly ever occurs.
    """
    layout = config.layout
    if config.masking == "joint":
        return _hide(layout.n_tokens, mask_ratio(rng.random()), rng)
    ratios = [_ratio(config, rng), _ratio(config, rng)]
    if max(ratios) == 0:
        ratios[int(rng.integers(2))] = mask_ratio(rng.random())
    sizes = (layout.image.n_tokens, layout.audio.n_tokens)
    parts = [_hide(n, r, rng) for n, r in zip(sizes, ratios, strict=True)]
    return np.concatenate(parts)


def draw_single_mask(layout: TokenLayout, medium: slice, rng: np.random.Generator) -> Mask:
    """(N,) mask of a sequence of which only ``medium`` exists: the other one is fully masked."""
    mask = np.ones(layout.n_tokens, dtype=np.bool_)
    mask[medium] = _hide(medium.stop - medium.start, mask_ratio(rng.random()), rng)
    return mask


def _ratio(config: TransformerStageConfig, rng: np.random.Generator) -> float:
    draw = rng.random()
    if draw < config.full_mask:
        return 1.0
    if draw < config.full_mask + config.no_mask:
        return 0.0
    return mask_ratio(rng.random())


def _hide(n_tokens: int, ratio: float, rng: np.random.Generator) -> Mask:
    mask = np.zeros(n_tokens, dtype=np.bool_)
    mask[rng.permutation(n_tokens)[: math.ceil(ratio * n_tokens)]] = True
    return mask
