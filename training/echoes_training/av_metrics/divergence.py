"""KL divergence of class scores, and the inception score, by the formulas that are in use."""

import itertools
from collections.abc import Sequence

import numpy as np

from echoes_training.av_metrics.features import Array, Features

SPLITS = 10
SHUFFLE_SEED = 2020
"""Both as in av-benchmark, which has them from torch-fidelity."""

SPECVQGAN_FLOOR = 1e-6


def log_softmax(logits: Array) -> Array:
    """(N, C), over the classes."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))


def kl_softmax(reference: Array, generated: Array) -> float:
    """Mean over pairs of KL(reference || generated), in nats: AudioGen's and av-benchmark's.

    Args:
        reference: (N, C) logits.
        generated: (N, C), of the same pairs.
    """
    p, q = log_softmax(reference), log_softmax(generated)
    return float((np.exp(p) * (p - q)).sum(axis=1).mean())


def kl_sigmoid(reference: Array, generated: Array) -> float:
    """av-benchmark's other one: every class is a probability of its own, and not a distribution.

    It leaves out the term of the class being absent, so it may be negative.
    """
    p, q = -np.logaddexp(0, -reference), -np.logaddexp(0, -generated)
    return float((np.exp(p) * (p - q)).sum(axis=1).mean())


def kl_specvqgan(reference: Array, generated: Array) -> float:
    """SpecVQGAN's MKL: the generated probabilities get a floor, which bounds every pair."""
    p, q = log_softmax(reference), np.exp(log_softmax(generated))
    return float((np.exp(p) * (p - np.log(q + SPECVQGAN_FLOOR))).sum(axis=1).mean())


def inception_score(logits: Array, splits: int = SPLITS) -> tuple[float, float]:
    """The exp of the mean KL to the mean, mean and standard deviation over ``splits``.

    Args:
        logits: (N, C) of the generated sounds, sorted by name; N at least ``splits``.
        splits: parts that the shuffled sounds are cut into.
    """
    shuffled = logits[np.random.RandomState(SHUFFLE_SEED).permutation(len(logits))]
    bounds = [i * len(logits) // splits for i in range(splits + 1)]
    scores = []
    for start, stop in itertools.pairwise(bounds):
        p = log_softmax(shuffled[start:stop])
        mean = np.exp(p).mean(axis=0)
        # A probability that underflows to 0 has no part in the sum.
        log_mean = np.log(np.maximum(mean, np.finfo(np.float64).tiny))
        scores.append(float(np.exp((np.exp(p) * (p - log_mean)).sum(axis=1).mean())))
    return float(np.mean(scores)), float(np.std(scores))


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
