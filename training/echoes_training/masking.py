"""Which tokens are hidden in training."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from echoes_rt.format.sampling import mask_ratio
from echoes_rt.format.tokens import Grid
from echoes_training.config import TransformerStageConfig

Mask = NDArray[np.bool_]
"""True where the token is unknown."""

SPAN = 0.25
"""How far decoding goes on from what is known, in the progress of the mask schedule: what comes
still later is drawn when more is known, and teaches little here."""


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

    In context form either medium is the target, in proportion to its codes, in a state that
    decoding comes through (``draw_state``); the other one is whole, or but for a share up to
    ``context_mask`` of it.

    In joint form, ``independent`` draws a ratio for each medium: fully known, fully masked, or by
    the cosine schedule at a uniform progress. So every question that decoding asks is asked in
    training, the unconditional one of guidance (condition fully masked) among them. ``joint`` hides
    one share of the whole sequence, as MaskGIT would; there a fully masked medium hardly ever
    occurs.
    """
    layout = config.layout
    if config.model.form == "context":
        target = int(rng.random() * layout.n_tokens >= layout.image.n_tokens)
        mask, asked = np.zeros((2, layout.n_tokens), dtype=np.bool_)
        part = (layout.image_slice, layout.audio_slice)[target]
        grid = (layout.image, layout.audio)[target]
        mask[part], asked[part] = draw_state(grid, config.partly_known, config.full_mask, rng)
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
        states = [
            draw_state(grid, config.partly_known, config.full_mask, rng)
            for grid in (layout.image, layout.audio)
        ]
        mask, asked = (np.concatenate(masks) for masks in zip(*states, strict=True))
        return Question(mask=mask, asked=asked, sees=(False, False)), (0, 1)
    medium = int(rng.integers(2))
    part = parts[medium]
    mask, asked = np.ones(layout.n_tokens, np.bool_), np.zeros(layout.n_tokens, np.bool_)
    mask[part] = asked[part] = hide(part.stop - part.start, mask_ratio(rng.random()), rng)
    return Question(mask=mask, asked=asked), (medium,)


def draw_state(
    grid: Grid, partly_known: float, full_mask: float, rng: np.random.Generator
) -> tuple[Mask, Mask]:
    """Where decoding of a grid may be: what is hidden (n,), and what of it is drawn next (n,).

    What is unknown (``draw_unknown``) has been decoded in the grid's order, up to any progress of
    the cosine schedule or, with probability ``full_mask``, not at all. With masks anywhere, as in
    MaskGIT (arXiv 2202.04200), most of what is asked for is asked where little is known, while
    decoding draws half of its codes when a third is unknown; and it sees but one set of known
    codes of each size.
    """
    unknown = draw_unknown(grid, partly_known, rng)
    order = np.asarray(grid.order)
    positions = order[unknown[order]]
    begin = 0.0 if rng.random() < full_mask else rng.random()
    n_hidden = math.ceil(len(positions) * mask_ratio(begin))
    n_later = math.floor(len(positions) * mask_ratio(min(1.0, begin + SPAN)))
    mask, asked = np.zeros((2, grid.n_tokens), dtype=np.bool_)
    mask[positions[len(positions) - n_hidden :]] = True
    asked[positions[len(positions) - n_hidden : len(positions) - n_later]] = True
    return mask, asked


def draw_unknown(grid: Grid, partly_known: float, rng: np.random.Generator) -> Mask:
    """(n,), at least one: all, or with this probability codes anywhere or in a rectangle.

    Half of the rectangles are as high as the grid: a stretch of a sound.
    """
    if rng.random() >= partly_known:
        return np.ones(grid.n_tokens, dtype=np.bool_)
    if rng.random() < 0.5:
        return hide(grid.n_tokens, mask_ratio(rng.random()), rng)
    mask = np.zeros((grid.height, grid.width), dtype=np.bool_)
    rows = slice(None) if rng.random() < 0.5 else _stretch(grid.height, rng)
    mask[rows, _stretch(grid.width, rng)] = True
    return mask.ravel()


def _stretch(size: int, rng: np.random.Generator) -> slice:
    length = int(rng.integers(1, size + 1))
    start = int(rng.integers(size - length + 1))
    return slice(start, start + length)


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
