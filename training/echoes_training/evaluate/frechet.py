"""How far apart two sets of embeddings lie, as Gaussians."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Gaussian:
    """(D,) mean and (D, D) covariance of ``n`` embeddings."""

    mean: Array
    covariance: Array
    n: int

    @cached_property
    def root(self) -> Array:
        """(D, D), symmetric: its square is the covariance."""
        eigenvalues, vectors = np.linalg.eigh(self.covariance)
        return np.asarray((vectors * np.sqrt(np.maximum(eigenvalues, 0.0))) @ vectors.T)


def fit_gaussian(embeddings: Array, weights: Array | None = None) -> Gaussian:
    """Of (N, D) embeddings, N at least 2; the covariance has the divisor N - 1."""
    if len(embeddings) < 2:
        raise ValueError(f"a Gaussian needs 2 or more embeddings, got {len(embeddings)}")
    rows = np.asarray(embeddings, dtype=np.float64)
    return Gaussian(
        mean=np.average(rows, axis=0, weights=weights),
        covariance=np.atleast_2d(np.cov(rows, rowvar=False, aweights=weights)),
        n=len(rows),
    )


def frechet_distance(a: Gaussian, b: Gaussian) -> float:
    """``|m_a - m_b|^2 + Tr(C_a + C_b - 2 (C_a C_b)^(1/2))`` (arXiv 1812.08466, section 3).

    The trace of the root is the sum of the roots of the eigenvalues of the symmetric
    ``C_a^(1/2) C_b C_a^(1/2)``, which has the eigenvalues of ``C_a C_b`` without its trouble: real
    and not negative, also where a covariance is singular.
    """
    eigenvalues = np.linalg.eigvalsh(a.root @ b.covariance @ a.root)
    trace_of_root = np.sqrt(np.maximum(eigenvalues, 0.0)).sum()
    shift = np.sum((a.mean - b.mean) ** 2)
    return float(shift + np.trace(a.covariance) + np.trace(b.covariance) - 2 * trace_of_root)


def label_weights(numbers: NDArray[np.int64]) -> Array:
    """Weights that let every label count the same, however many sounds it has."""
    return 1.0 / np.bincount(numbers)[numbers]
