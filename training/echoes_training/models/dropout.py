"""Dropout that is drawn for a sample, whichever part of a batch or process computes it."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


def draw_kept(
    seeds: Sequence[int], shape: tuple[int, ...], rate: float, device: torch.device
) -> Tensor:
    """(B, *shape) bool, true for what stays; each of the B samples is drawn from its own seed.

    One byte an element: as much as PyTorch's dropout keeps for the way back.
    """
    generator = torch.Generator(device)
    kept = torch.empty(len(seeds), *shape, dtype=torch.bool, device=device)
    for sample, seed in zip(kept, seeds, strict=True):
        sample.bernoulli_(1 - rate, generator=generator.manual_seed(seed))
    return kept


class Dropout(nn.Module):
    """Takes what stays from ``draw_kept`` instead of drawing it; without it nothing is dropped."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor, kept: Tensor | None) -> Tensor:
        return x if kept is None else x * kept * (1 / (1 - self.rate))
