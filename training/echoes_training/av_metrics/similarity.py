"""How near a sound lies to its picture in the space that both are embedded in."""

from collections.abc import Sequence

import numpy as np

from echoes_training.av_metrics.features import Array, Features


def mean_cosine(sounds: Features, pictures: Features, pairs: Sequence[tuple[str, str]]) -> float:
    """Mean over (sound, picture) pairs of the cosine of their embeddings.

    A sound or a video with several rows counts by the mean of its rows' cosines.
    """
    return float(
        np.mean([_cosines(sounds.embeddings[a], pictures.embeddings[b]).mean() for a, b in pairs])
    )


def _cosines(a: Array, b: Array) -> Array:
    """(R_a, R_b)."""
    return _unit(a) @ _unit(b).T


def _unit(rows: Array) -> Array:
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-8))
