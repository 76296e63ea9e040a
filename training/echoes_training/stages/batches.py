"""Which clips a codec sees at which step."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from echoes_training.config import LoopConfig
from echoes_training.data.index import Clip


class Medium(Protocol):
    """What differs between pictures and sounds."""

    clips: dict[str, list[Clip]]

    def batch(self, clips: list[Clip], rng: np.random.Generator | None) -> Tensor:
        """(B, C, H, W); augmented if there is a generator."""
        ...

    def sheet(self, path: Path, real: Tensor, decoded: Tensor) -> None: ...


def category_numbers(medium: Medium) -> dict[str, int]:
    """The number of each category that is trained on."""
    return {name: i for i, name in enumerate(sorted({c.category for c in medium.clips["train"]}))}


@dataclass(frozen=True, kw_only=True)
class Part:
    """x (b, C, H, W) and wanted (b,), the numbers of its categories."""

    x: Tensor
    wanted: Tensor


class Batches:
    """Draws the samples of a step, each by its place in the batch of all processes."""

    def __init__(
        self, medium: Medium, loop: LoopConfig, labelled_share: float, device: torch.device
    ) -> None:
        self.medium = medium
        self.loop = loop
        self.device = device
        self.categories = category_numbers(medium)
        self.members = medium.clips["train"]
        # The codec must know best what the transformer will pair.
        self.labelled = [c for c in self.members if c.label] or self.members
        self.n_labelled = round(loop.batch_size * labelled_share)

    def part(self, step: int, places: range) -> Part:
        clips, views = [], []
        for place in places:
            rng = np.random.default_rng((self.loop.seed, step, place))
            source = self.labelled if place < self.n_labelled else self.members
            clips.append(source[int(rng.integers(len(source)))])
            views.append(self.medium.batch(clips[-1:], rng))
        x = torch.cat(views).to(self.device, memory_format=torch.channels_last)
        return Part(x=x, wanted=self.wanted(clips))

    def wanted(self, clips: list[Clip]) -> Tensor:
        """(B,) numbers of the clips' categories."""
        return torch.tensor([self.categories[c.category] for c in clips], device=self.device)
