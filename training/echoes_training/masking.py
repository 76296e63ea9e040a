"""Which tokens are hidden in training."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from echoes_rt.format.sampling import mask_ratio
from echoes_training.config import TransformerStageConfig

Mask = NDArray[np.bool_]
"""True where the token is unknown."""


@dataclass(frozen=True, kw_only=True)
class Question:
    """What one sequence asks.

    Attributes:
        mask: (N,), what is hidden.
        asked: (N,), which of it counts.
        sees: whether the picture looks at the sound, and the sound at the picture.
    """

    mask: Mask
    asked: Mask
    sees: tuple[bool, bool] = (True, True)


def draw_question(config: TransformerStageConfig, rng: np.random.Generator) -> Question:
    """Of a pair, with at least one unknown token.

    In context form either medium is the target, in proportion to its codes, and the other one is
    whole, or but for a share up to ``context_mask`` of it.

    In joint form, ``independent`` draws a ratio for each medium: fully known, fully masked, or by
    the cosine schedule at a uniform progress. So every question that decoding asks is asked in
    training, the unconditional one of guidance (condition fully masked) among them. ``joint`` hides
    one share of the whole sequence, as MaskGIT would; there a fully masked medium hardly ever
    occurs.
    """
    layout = config.layout
    if config.model.form == "context":
        target = int(rng.random() * layout.n_tokens >= layout.image.n_tokens)
        asked = np.zeros(layout.n_tokens, dtype=np.bool_)
        part = (layout.image_slice, layout.audio_slice)[target]
        asked[part] = hide(part.stop - part.start, _masked_ratio(config, rng), rng)
        mask = asked.copy()
        if config.context_mask > 0:
            context = (layout.audio_slice, layout.image_slice)[target]
            ratio = rng.uniform(0, config.context_mask)
            mask[context] = hide(context.stop - context.start, ratio, rng)
        return Question(mask=mask, asked=asked, sees=(target == 0, target == 1))
    if config.masking == "joint":
        mask = hide(layout.n_tokens, mask_ratio(rng.random()), rng)
    else:
        ratios = [_ratio(config, rng), _ratio(config, rng)]
        if max(ratios) == 0:
            ratios[int(rng.integers(2))] = mask_ratio(rng.random())
        sizes = (layout.image.n_tokens, layout.audio.n_tokens)
        mask = np.concatenate([hide(n, r, rng) for n, r in zip(sizes, ratios, strict=True)])
    return Question(mask=mask, asked=mask)


def draw_alone(
    config: TransformerStageConfig, rng: np.random.Generator
) -> tuple[Question, tuple[int, ...]]:
    """A question without the other medium, and which media it asks for (0 picture, 1 sound).

    In context form both media are targets that do not see each other. In joint form one is, and
    the other is fully masked.
    """
    layout = config.layout
    parts = (layout.image_slice, layout.audio_slice)
    if config.model.form == "context":
        mask = np.concatenate(
            [hide(part.stop - part.start, _masked_ratio(config, rng), rng) for part in parts]
        )
        return Question(mask=mask, asked=mask, sees=(False, False)), (0, 1)
    medium = int(rng.integers(2))
    part = parts[medium]
    mask, asked = (
        np.ones(layout.n_tokens, dtype=np.bool_),
        np.zeros(layout.n_tokens, dtype=np.bool_),
    )
    mask[part] = asked[part] = hide(part.stop - part.start, mask_ratio(rng.random()), rng)
    return Question(mask=mask, asked=asked), (medium,)


def _masked_ratio(config: TransformerStageConfig, rng: np.random.Generator) -> float:
    """Of a target in context form."""
    return 1.0 if rng.random() < config.full_mask else mask_ratio(rng.random())


def _ratio(config: TransformerStageConfig, rng: np.random.Generator) -> float:
    draw = rng.random()
    if draw < config.full_mask:
        return 1.0
    if draw < config.full_mask + config.no_mask:
        return 0.0
    return mask_ratio(rng.random())


def hide(n_tokens: int, ratio: float, rng: np.random.Generator) -> Mask:
    """(n_tokens,): this share of them, rounded up, anywhere."""
    mask = np.zeros(n_tokens, dtype=np.bool_)
    mask[rng.permutation(n_tokens)[: math.ceil(ratio * n_tokens)]] = True
    return mask
