"""Losses by name, and the one weighted sum of them."""

from torch import Tensor


def total(losses: dict[str, Tensor], weights: dict[str, float]) -> Tensor:
    """The weighted sum; a loss without a weight is a KeyError, not silence."""
    parts = [weights[name] * value for name, value in losses.items()]
    return sum(parts[1:], parts[0])
