"""The Frechet distance for an endless set of generated sounds (FAD-inf, arXiv 2311.01616)."""

from dataclasses import dataclass

import numpy as np

from echoes_training.av_metrics.features import Array
from echoes_training.evaluate.frechet import Gaussian, fit_gaussian, frechet_distance

SIZES = 25
SMALLEST = 500
"""As in fadtk: 25 sizes from 500 to all rows, and a line through 1 / size."""
FEWEST = 2 * SMALLEST
"""Of fewer rows the line would be drawn from a narrow range."""


@dataclass(frozen=True, kw_only=True)
class Extrapolation:
    """``value`` is where the line meets 1 / size = 0; ``r2`` says how well a line fits."""

    value: float
    slope: float
    r2: float


def extrapolate(reference: Gaussian, rows: Array, seed: int) -> Extrapolation:
    """Of (N, D) generated rows, N at least 1000.

    Rows are drawn without replacement, as in FID-infinity (arXiv 1911.07023). fadtk draws them
    with replacement, and so extrapolates to these very rows as an endless set, which keeps the
    bias that it is to remove: of 1000 rows of the reference's own distribution in 16 dimensions it
    leaves most.

    Raises:
        ValueError: if there are fewer.
    """
    if len(rows) < FEWEST:
        raise ValueError(f"at least {FEWEST} rows are needed, got {len(rows)}")
    rng = np.random.default_rng(seed)
    sizes = np.linspace(SMALLEST, len(rows), SIZES).astype(np.int64)
    chosen = (rng.choice(len(rows), size, replace=False) for size in sizes)
    distances = np.array([frechet_distance(reference, fit_gaussian(rows[c])) for c in chosen])
    slope, value = np.polyfit(1 / sizes, distances, 1)
    residuals = distances - (value + slope / sizes)
    total = float(np.sum((distances - distances.mean()) ** 2))
    r2 = 1 - float(np.sum(residuals**2)) / total if total else 1.0
    return Extrapolation(value=float(value), slope=float(slope), r2=r2)
