"""What the graphs are verified on: held-out media, or smooth noise where there are none."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from echoes_export.bundle.models import Models
from echoes_rt.errors import InputError
from echoes_rt.io.image import load_image
from echoes_training.data.audio import AudioStore, to_batch
from echoes_training.data.index import read_index
from echoes_training.models.mel import MelSpectrogram

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """image (M, 3, H, W) and mel (M, n_mels, n_frames), as the encoders read them."""

    image: Tensor
    mel: Tensor


def inputs_of(index: Path | None, models: Models, count: int) -> Inputs:
    """Up to ``count`` held-out pictures, as the runtime reads them, and as many sounds.

    Without an index, smooth noise. Raises InputError if one has no such media.
    """
    if index is None:
        return noise_inputs(models, count, 0)
    heldout = [clip for clip in read_index(index) if clip.split == "heldout"]
    pictures = _spread([clip.image for clip in heldout if clip.image], count)
    sounds = _spread([clip for clip in heldout if clip.audio], count)
    if not pictures or not sounds:
        raise InputError("the index needs a held-out picture and a held-out sound to verify with")
    store = AudioStore(models.mel)
    samples = to_batch([store.get(str(clip.audio), clip.start) for clip in sounds])
    return Inputs(
        image=torch.from_numpy(np.concatenate([load_image(p, models.image) for p in pictures])),
        mel=MelSpectrogram(models.mel)(samples),
    )


def noise_inputs(models: Models, count: int, seed: int) -> Inputs:
    """Smooth noise: every 8th point is drawn, the rest lies between them, as in real media."""
    generator = torch.Generator().manual_seed(seed)

    def draw(channels: int, height: int, width: int) -> Tensor:
        coarse = torch.rand(
            count, channels, max(2, height // 8), max(2, width // 8), generator=generator
        )
        return F.interpolate(2 * coarse - 1, (height, width), mode="bilinear")

    return Inputs(
        image=draw(3, models.image.height, models.image.width),
        mel=draw(1, models.mel.n_mels, models.mel.n_frames)[:, 0],
    )


def _spread(members: Sequence[T], count: int) -> list[T]:
    return list(members[:: max(1, len(members) // count)][:count])
