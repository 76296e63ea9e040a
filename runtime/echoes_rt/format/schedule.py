"""The mask schedule, shared by training and every decoder."""

import math


def mask_ratio(progress: float) -> float:
    """Fraction of tokens still masked at ``progress`` in [0, 1]: cosine, 1 at 0 and 0 at 1.

    Source: MaskGIT (arXiv 2202.04200), section 3.3.
    """
    return math.cos(0.5 * math.pi * progress)


def num_masked(n_tokens: int, steps: int) -> list[int]:
    """Number of tokens left masked after each of ``steps`` steps; strictly falling to 0.

    Raises:
        ValueError: if ``steps`` is not in [1, n_tokens].
    """
    if not 1 <= steps <= n_tokens:
        raise ValueError(f"steps must be in [1, {n_tokens}], got {steps}")
    counts: list[int] = []
    left = n_tokens
    for step in range(1, steps + 1):
        left = max(steps - step, min(left - 1, math.floor(n_tokens * mask_ratio(step / steps))))
        counts.append(left)
    return counts
