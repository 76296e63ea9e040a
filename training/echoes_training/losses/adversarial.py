"""Hinge losses and feature matching for discriminators."""

import torch
from torch import Tensor
from torch.nn import functional as F


def discriminator_hinge(real: Tensor, fake: Tensor) -> Tensor:
    """Pushes real scores above 1 and fake ones below -1 (arXiv 1705.02894)."""
    return 0.5 * (F.relu(1 - real).mean() + F.relu(1 + fake).mean())


def generator_hinge(fake: Tensor) -> Tensor:
    return -fake.mean()


def feature_matching(real: list[Tensor], fake: list[Tensor]) -> Tensor:
    """Mean absolute difference of a discriminator's hidden features (arXiv 1910.06711)."""
    terms = [(r.detach() - f).abs().mean() for r, f in zip(real, fake, strict=True)]
    return torch.stack(terms).mean()


def feature_statistics(real: list[Tensor], fake: list[Tensor]) -> Tensor:
    """Mean absolute difference of mean and deviation along time of a discriminator's features.

    It asks for the same texture without asking for it in the same places.
    """
    terms = []
    for r, f in zip(real, fake, strict=True):
        a, b = r.detach().float(), f.float()
        terms.append((a.mean(dim=-1) - b.mean(dim=-1)).abs().mean())
        terms.append((_deviation(a) - _deviation(b)).abs().mean())
    return torch.stack(terms).mean()


def _deviation(x: Tensor) -> Tensor:
    """Along the last dimension; smooth where nothing varies, as in silence."""
    return (x.var(dim=-1, correction=0) + 1e-5).sqrt()
