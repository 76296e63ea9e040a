"""Dropout that is drawn for a sample, whichever part of a batch or process computes it."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from echoes_training.device import to_device

BITS = 16
"""Of each draw: rates are to a part in 65,536."""
SAMPLES = 16
"""That are drawn at once on a GPU, where their random numbers take twice the room of what stays."""
GOLDEN = -0x61C8864680B583EB
"""0x9E3779B97F4A7C15 as int64."""


def draw_kept(
    seeds: Sequence[int], shape: tuple[int, ...], rate: float, device: torch.device
) -> Tensor:
    """(B, *shape) bool, true for what stays; each of the B samples is drawn from its own seed.

    One byte an element: as much as PyTorch's dropout keeps for the way back on a GPU. Four draws
    come from each random number, which on a CPU is several times faster than PyTorch's. There it is
    PyTorch's generator that draws, elsewhere ``mixed``.
    """
    n = math.prod(shape)
    kept = torch.empty(len(seeds), n, dtype=torch.bool, device=device)
    first = round(rate * 2**BITS) - 2 ** (BITS - 1)
    if device.type != "cpu":
        for rows, part in zip(kept.split(SAMPLES), torch.tensor(seeds).split(SAMPLES), strict=True):
            numbers = mixed(to_device(part, device), -(-n * BITS // 64))
            torch.ge(numbers.view(torch.int16)[:, :n], first, out=rows)
        return kept.view(len(seeds), *shape)
    generator = torch.Generator()
    numbers = torch.empty(-(-n * BITS // 64), dtype=torch.int64)
    for sample, seed in zip(kept, seeds, strict=True):
        numbers.random_(-(2**63), None, generator=generator.manual_seed(seed))
        torch.ge(numbers.view(torch.int16)[:n], first, out=sample)
    return kept.view(len(seeds), *shape)


def mixed(seeds: Tensor, count: int) -> Tensor:
    """(B,) seeds to (B, count) int64: numbers of SplitMix64, a stream a seed.

    A handful of launches for many samples, where a generator needs two for each. (Steele, Lea and
    Flood, "Fast splittable pseudorandom number generators", 2014.)
    """
    start = finished(seeds[:, None].clone())
    return finished(start + torch.arange(1, count + 1, device=seeds.device) * GOLDEN)


def finished(z: Tensor) -> Tensor:
    """The mixing at the end, in place; int64 wraps as uint64 does, shifts are made logical."""
    for shift, factor in ((30, -0x40A7B892E31B1A47), (27, -0x6B2FB644ECCEEE15), (31, 1)):
        z ^= (z >> shift) & (2 ** (64 - shift) - 1)
        z *= factor
    return z


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
