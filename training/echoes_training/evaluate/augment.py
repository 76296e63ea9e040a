"""Random variation of log-mels, so that a judge trained on few recordings knows others too."""

from dataclasses import dataclass

import torch
from torch import Tensor

from echoes_rt.format.mel import DB_RANGE


@dataclass(frozen=True, kw_only=True)
class AugmentConfig:
    """How far sounds are varied.

    Attributes:
        gain_db: largest gain, up or down.
        tilt_db: largest gain at either end of the frequencies, with the opposite at the other end.
        noise: range of a flat noise floor in the mel's own [-1, 1]; below -1 there is none.
        hidden: largest share of the frequencies, and of the time, that is silenced.
        mixed: largest share of another clip that is blended in.
    """

    gain_db: float = 8.0
    tilt_db: float = 5.0
    noise: tuple[float, float] = (-1.5, -0.6)
    hidden: float = 0.15
    mixed: float = 0.2


def augment(mels: Tensor, config: AugmentConfig, generator: torch.Generator) -> Tensor:
    """(B, n_mels, T) log-mels in [-1, 1] to as many varied ones."""
    louder = _gain(_roll(mels, generator), config, generator)
    return _hide(_add_noise(louder, config, generator), config, generator)


def mix(
    mels: Tensor, targets: Tensor, config: AugmentConfig, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Mixup (arXiv 1710.09412): each clip blended with another one, and so are the targets."""
    share = _uniform(0, config.mixed, len(mels), generator)
    other = torch.randperm(len(mels), generator=generator)
    blended = torch.lerp(mels, mels[other], share[:, None, None])
    return blended, torch.lerp(targets, targets[other], share[:, None])


def _uniform(low: float, high: float, count: int, generator: torch.Generator) -> Tensor:
    return low + (high - low) * torch.rand(count, generator=generator)


def _roll(mels: Tensor, generator: torch.Generator) -> Tensor:
    shifts = torch.randint(mels.shape[-1], (len(mels), 1), generator=generator)
    steps = (torch.arange(mels.shape[-1])[None] + shifts) % mels.shape[-1]
    return torch.gather(mels, 2, steps[:, None, :].expand_as(mels))


def _gain(mels: Tensor, config: AugmentConfig, generator: torch.Generator) -> Tensor:
    gain = _uniform(-config.gain_db, config.gain_db, len(mels), generator)
    # Rooms and microphones colour a whole clip: a slope over the frequencies.
    tilt = _uniform(-config.tilt_db, config.tilt_db, len(mels), generator)
    decibels = gain[:, None] + tilt[:, None] * torch.linspace(-1, 1, mels.shape[1])
    return (mels + (2 / DB_RANGE) * decibels[:, :, None]).clamp(-1, 1)


def _add_noise(mels: Tensor, config: AugmentConfig, generator: torch.Generator) -> Tensor:
    level = _uniform(*config.noise, len(mels), generator)[:, None, None]
    noise = level + 0.06 * torch.randn(mels.shape, generator=generator)
    ripple = mels + 0.03 * torch.randn(mels.shape, generator=generator)
    return torch.maximum(ripple, noise).clamp(-1, 1)


def _hide(mels: Tensor, config: AugmentConfig, generator: torch.Generator) -> Tensor:
    """SpecAugment (arXiv 1904.08779): a band of frequencies and a stretch of time are silenced."""
    for axis in (1, 2):
        size = mels.shape[axis]
        width = (_uniform(0, config.hidden, len(mels), generator) * size).long()
        start = (torch.rand(len(mels), generator=generator) * (size - width)).long()
        place = torch.arange(size)[None]
        hidden = (place >= start[:, None]) & (place < (start + width)[:, None])
        mels = mels.masked_fill(hidden.unsqueeze(3 - axis), -1.0)
    return mels
