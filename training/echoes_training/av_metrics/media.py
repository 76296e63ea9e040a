"""Sounds and pictures as the embedders of the published protocols read them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from echoes_rt.io.audio import read_sound
from echoes_rt.io.image import read_image
from echoes_training.av_metrics.resampling import resample

Samples = NDArray[np.float32]


def read_clip(path: Path, sample_rate: int, clip_s: float) -> Samples:
    """The first ``clip_s`` seconds as av-benchmark reads them; not padded if there are fewer.

    The mean of the channels, less its own mean over the whole file, resampled, then cut.

    Returns:
        (S,).
    """
    samples, source_rate = read_sound(path)
    mono = samples.mean(axis=1)
    mono -= mono.mean()
    return resample(mono, source_rate, sample_rate)[: int(sample_rate * clip_s)]


def fitted(samples: Samples, n_samples: int) -> Samples:
    """Cut, or padded with zeros at the end, to (n_samples,)."""
    return np.pad(samples[:n_samples], (0, max(0, n_samples - len(samples))))


def read_picture(
    path: Path, size: int, mean: Sequence[float], std: Sequence[float]
) -> NDArray[np.float32]:
    """As CLIP reads it: bicubic, the short side to ``size``, its middle, normalised.

    Returns:
        (3, size, size).
    """
    import torch
    from torch.nn import functional as F

    pixels = torch.from_numpy(read_image(path).copy()).permute(2, 0, 1)[None].float()
    height, width = pixels.shape[2:]
    short = min(height, width)
    shape = (size * height // short, size * width // short)
    # Antialiased, with the same filter as Pillow's, and like there rounded to whole values.
    resized = F.interpolate(pixels, shape, mode="bicubic", antialias=True).round().clamp(0, 255)
    top, left = (round((side - size) / 2) for side in shape)
    middle = resized[0, :, top : top + size, left : left + size] / 255
    values = (middle - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]
    return np.asarray(values.numpy(), dtype=np.float32)
