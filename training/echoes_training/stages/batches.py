"""Which clips a codec sees at which step."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from echoes_training.config import LoopConfig
from echoes_training.data.index import Clip
from echoes_training.data.prefetch import Prefetch
from echoes_training.device import to_device
from echoes_training.processes import Processes
from echoes_training.stages.categories import UNKNOWN


class Medium(Protocol):
    """What differs between pictures and sounds."""

    clips: dict[str, list[Clip]]

    def batch(self, clips: list[Clip], rng: np.random.Generator | None) -> Tensor:
        """(B, C, H, W); augmented if there is a generator."""
        ...

    def views(self, clips: list[Clip], generators: list[np.random.Generator]) -> Tensor:
        """(B, C, H, W): each clip augmented by its own generator."""
        ...

    def reside(self, device: torch.device) -> None:
        """Puts the training clips on the device, where ``views`` then augments them."""
        ...

    def sheet(self, path: Path, real: Tensor, decoded: Tensor) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Part:
    """x (b, C, H, W) and wanted (b,), the numbers of its categories."""

    x: Tensor
    wanted: Tensor


class Batches:
    """Draws the samples of a step, each by its place in the batch of all processes."""

    def __init__(
        self,
        medium: Medium,
        loop: LoopConfig,
        labelled_share: float,
        device: torch.device,
        categories: Mapping[str, int],
    ) -> None:
        self.medium = medium
        self.loop = loop
        self.device = device
        self.categories = categories
        self.members = medium.clips["train"]
        # The codec must know best what the transformer will pair.
        self.labelled = [c for c in self.members if c.label] or self.members
        self.n_labelled = round(loop.batch_size * labelled_share)

    def parts_of(self, processes: Processes) -> Prefetch[list[Part]]:
        """What this process learns from in a step, made ahead of it."""
        all_places = processes.parts(self.loop.batch_size, self.loop.accumulate)

        def make(step: int) -> list[Part]:
            return [self.part(step, places) for places in all_places]

        return Prefetch(make, self.loop.steps, self.device)

    def part(self, step: int, places: range) -> Part:
        clips, generators = [], []
        for place in places:
            rng = np.random.default_rng((self.loop.seed, step, place))
            source = self.labelled if place < self.n_labelled else self.members
            clips.append(source[int(rng.integers(len(source)))])
            generators.append(rng)
        x = to_device(self.medium.views(clips, generators), self.device)
        x = x.to(self.device, memory_format=torch.channels_last)
        return Part(x=x, wanted=self.wanted(clips))

    def wanted(self, clips: list[Clip]) -> Tensor:
        """(B,) numbers of the clips' categories; what is held out may be of an unknown one."""
        numbers = [self.categories.get(clip.category, UNKNOWN) for clip in clips]
        return to_device(torch.tensor(numbers), self.device)
