"""Dropout that is drawn for a sample, whichever part of a batch or process computes it."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

BITS = 16
"""Of each draw: rates are to a part in 65,536."""


def draw_kept(
    seeds: Sequence[int], shape: tuple[int, ...], rate: float, device: torch.device
) -> Tensor:
    """(B, *shape) bool, true for what stays; each of the B samples is drawn from its own seed.

    One byte an element: as much as PyTorch's dropout keeps for the way back on a GPU. Four draws
    come from each random number, which on a CPU is several times faster than PyTorch's.
    """
    generator = torch.Generator(device)
    n = math.prod(shape)
    kept = torch.empty(len(seeds), n, dtype=torch.bool, device=device)
    numbers = torch.empty(-(-n * BITS // 64), dtype=torch.int64, device=device)
    first = round(rate * 2**BITS) - 2 ** (BITS - 1)
    for sample, seed in zip(kept, seeds, strict=True):
        numbers.random_(-(2**63), None, generator=generator.manual_seed(seed))
        torch.ge(numbers.view(torch.int16)[:n], first, out=sample)
    return kept.view(len(seeds), *shape)


class Dropout(nn.Module):
    """Takes what stays from ``draw_kept`` instead of drawing it; without it nothing is dropped."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor, kept: Tensor | None) -> Tensor:
        if kept is None:
            return x
        # One factor, so that the way back is one product, too; in x's own precision.
        return x * (kept * torch.tensor(1 / (1 - self.rate), dtype=x.dtype))
