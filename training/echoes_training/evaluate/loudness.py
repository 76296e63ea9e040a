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
    return Levels(
        rms_dbfs=_decibels(np.sqrt(np.mean(samples**2, axis=1))),
        peak_dbfs=_decibels(np.abs(samples).max(axis=1)),
        is_clipped=_has_run(np.abs(samples) >= FULL_SCALE),
        is_nan=is_nan,
    )


def join(parts: Sequence[Levels]) -> Levels:
    return Levels(
        rms_dbfs=np.concatenate([part.rms_dbfs for part in parts]),
        peak_dbfs=np.concatenate([part.peak_dbfs for part in parts]),
        is_clipped=np.concatenate([part.is_clipped for part in parts]),
        is_nan=np.concatenate([part.is_nan for part in parts]),
    )


def _decibels(amplitude: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(20 * np.log10(np.maximum(amplitude, 10 ** (FLOOR_DBFS / 20))))


def _has_run(is_full: NDArray[np.bool_]) -> NDArray[np.bool_]:
    run = is_full[:, : is_full.shape[1] - CLIPPED_RUN + 1].copy()
    for shift in range(1, CLIPPED_RUN):
        run &= is_full[:, shift : shift + run.shape[1]]
    return np.asarray(run.any(axis=1))
