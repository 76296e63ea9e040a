"""KL divergence of class scores, and the inception score, by the formulas that are in use."""

from collections.abc import Sequence

import numpy as np
import torch
from torch.nn import functional as F

from echoes_training.av_metrics.features import Array, Features

SPLITS = 10
SHUFFLE_SEED = 2020
"""Both as in av-benchmark, which has them from torch-fidelity."""

SPECVQGAN_FLOOR = 1e-6


def kl_softmax(reference: Array, generated: Array) -> float:
    """Mean over pairs of KL(reference || generated), in nats: AudioGen's and av-benchmark's.

    Args:
        reference: (N, C) logits.
        generated: (N, C), of the same pairs.
    """
    p, q = (torch.from_numpy(logits).log_softmax(dim=1) for logits in (reference, generated))
    return F.kl_div(q, p, reduction="batchmean", log_target=True).item()


def kl_sigmoid(reference: Array, generated: Array) -> float:
    """av-benchmark's other one: every class is a probability of its own, and not a distribution.

    It leaves out the term of the class being absent, so it may be negative.
    """
    p, q = (F.logsigmoid(torch.from_numpy(logits)) for logits in (reference, generated))
    return F.kl_div(q, p, reduction="batchmean", log_target=True).item()


def kl_specvqgan(reference: Array, generated: Array) -> float:
    """SpecVQGAN's MKL: the generated probabilities get a floor, which bounds every pair."""
    p, q = (torch.from_numpy(logits).softmax(dim=1) for logits in (reference, generated))
    return F.kl_div((q + SPECVQGAN_FLOOR).log(), p, reduction="batchmean").item()


def inception_score(logits: Array, splits: int = SPLITS) -> tuple[float, float]:
    """The exp of the mean KL to the mean, mean and standard deviation over ``splits``.

    Args:
        logits: (N, C) of the generated sounds, sorted by name; N at least ``splits``.
        splits: parts that the shuffled sounds are cut into.
    """
    shuffled = logits[np.random.RandomState(SHUFFLE_SEED).permutation(len(logits))]
    bounds = [i * len(logits) // splits for i in range(1, splits)]
    scores = []
    for part in torch.from_numpy(shuffled).log_softmax(dim=1).tensor_split(bounds):
        mean = part.exp().mean(dim=0)
        # A probability that underflows to 0 has no part in the sum.
        log_mean = mean.clamp(min=torch.finfo(mean.dtype).tiny).log()
        scores.append((part.exp() * (part - log_mean)).sum(dim=1).mean().exp().item())
    return float(np.mean(scores)), float(np.std(scores))


def mean_cosine(sounds: Features, pictures: Features, pairs: Sequence[tuple[str, str]]) -> float:
    """Mean over (sound, picture) pairs of the cosine of their embeddings.

    A sound or a video with several rows counts by the mean of its rows' cosines.
    """
    sides = (
        (torch.from_numpy(sounds.embeddings[a]), torch.from_numpy(pictures.embeddings[b]))
        for a, b in pairs
    )
    cosines = [F.cosine_similarity(a[:, None], b[None], dim=2).mean().item() for a, b in sides]
    return float(np.mean(cosines))
