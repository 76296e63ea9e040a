"""How loud sounds are, and what is wrong with the ones that are too quiet or too loud."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FLOOR_DBFS = -120.0
FULL_SCALE = 0.9995
CLIPPED_RUN = 4
"""So many samples in a row at full scale are heard as clipping; one is merely a peak."""


@dataclass(frozen=True, kw_only=True)
class Levels:
    """Of N sounds, (N,) each; a sound with a NaN has the levels of silence."""

    rms_dbfs: NDArray[np.float64]
    peak_dbfs: NDArray[np.float64]
    is_clipped: NDArray[np.bool_]
    is_nan: NDArray[np.bool_]


def measure(sounds: NDArray[np.float32]) -> Levels:
    """Of (B, S) samples."""
    is_nan = np.asarray(~np.isfinite(sounds).all(axis=1))
    samples = np.where(is_nan[:, None], 0.0, sounds).astype(np.float64)
    is_full = np.abs(samples) >= FULL_SCALE
    runs = np.lib.stride_tricks.sliding_window_view(is_full, CLIPPED_RUN, axis=1)
    return Levels(
        rms_dbfs=_decibels(np.sqrt(np.mean(samples**2, axis=1))),
        peak_dbfs=_decibels(np.abs(samples).max(axis=1)),
        is_clipped=np.asarray(runs.all(axis=2).any(axis=1)),
        is_nan=is_nan,
    )


def join(parts: Sequence[Levels]) -> Levels:
    """Of all sounds of the parts, in their order."""
    return Levels(
        **{name: np.concatenate([vars(x)[name] for x in parts]) for name in vars(parts[0])}
    )


def _decibels(amplitude: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(20 * np.log10(np.maximum(amplitude, 10 ** (FLOOR_DBFS / 20))))
