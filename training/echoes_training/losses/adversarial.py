"""Hinge losses and feature matching for discriminators."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Verdict = tuple[Tensor, list[Tensor]]
"""A discriminator's scores, and its hidden features for feature matching."""


class Judgement(nn.Module):
    """The own loss of discriminators that give one ``Verdict`` each."""

    def __init__(self, critic: nn.Module) -> None:
        super().__init__()
        self.critic = critic

    def forward(self, real: Tensor, fake: Tensor) -> Tensor:
        pairs = zip(self.critic(real), self.critic(fake), strict=True)
        return torch.stack([discriminator_hinge(r[0], f[0]) for r, f in pairs]).mean()


def fool(
    critic: nn.Module, fake: Tensor, real: Tensor | None = None, *, texture: bool = False
) -> dict[str, Tensor]:
    """What the discriminators ask of ``fake``; they learn nothing from it.

    With ``real`` also that their features of both match, and with ``texture`` the statistics of
    these, whose last dimension is time.
    """
    critic.requires_grad_(False)
    fake_verdicts: list[Verdict] = critic(fake)
    losses = {"adversarial": [generator_hinge(scores) for scores, _ in fake_verdicts]}
    if real is not None:
        with torch.no_grad():
            real_verdicts: list[Verdict] = critic(real)
        pairs = [(r[1], f[1]) for r, f in zip(real_verdicts, fake_verdicts, strict=True)]
        losses["feature_matching"] = [feature_matching(*pair) for pair in pairs]
        if texture:
            losses["feature_statistics"] = [feature_statistics(*pair) for pair in pairs]
    critic.requires_grad_(True)
    return {name: torch.stack(values).mean() for name, values in losses.items()}


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


def perceptual(real: list[Tensor], fake: list[Tensor]) -> Tensor:
    """Mean over levels of the squared distance between unit-length feature vectors.

    The form of LPIPS (arXiv 1801.03924) without its learnt weights.
    """
    terms = [
        (F.normalize(r.detach(), dim=1) - F.normalize(f, dim=1)).square().sum(dim=1).mean()
        for r, f in zip(real, fake, strict=True)
    ]
    return torch.stack(terms).mean()
