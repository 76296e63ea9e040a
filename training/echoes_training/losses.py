"""Losses of discriminators and of spectrograms, and the weighted sum of all."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from echoes_rt.format.mel import MelSpec, hann_window
from echoes_training.device import to_device

Verdict = tuple[Tensor, list[Tensor]]
"""A discriminator's scores, and its hidden features for feature matching."""

RESOLUTIONS = (512, 1024, 2048)
LONG_TERM = 4.0


def total(losses: dict[str, Tensor], weights: dict[str, float]) -> Tensor:
    """The weighted sum; a loss without a weight is a KeyError, not silence."""
    parts = [weights[name] * value for name, value in losses.items()]
    return sum(parts[1:], parts[0])


def balanced(losses: dict[str, Tensor], weights: dict[str, float], at: Tensor) -> Tensor:
    """The gradient at ``at`` (B, ...), to which each loss gives a part as long as its weight says.

    However sharp a discriminator becomes, its say stays the same (the balancer of EnCodec, arXiv
    2210.13438); here for each sample, so that it does not matter in how many parts a batch comes.
    A loss without a weight is a KeyError.
    """
    whole = torch.zeros_like(at)
    for name, loss in losses.items():
        (gradient,) = torch.autograd.grad(loss, at, retain_graph=True)
        length = gradient.flatten(1).norm(dim=1).view(-1, *[1] * (at.ndim - 1))
        whole += weights[name] / (length + 1e-12) * gradient
    return whole


class Judgement(nn.Module):
    """The own loss of discriminators that give one ``Verdict`` each."""

    def __init__(self, critic: nn.Module) -> None:
        super().__init__()
        self.critic = critic

    def forward(self, real: Tensor, fake: Tensor, *given: Tensor) -> Tensor:
        """``given`` is what the discriminators know beside either."""
        pairs = zip(self.critic(real, *given), self.critic(fake, *given), strict=True)
        return torch.stack([discriminator_hinge(r[0], f[0]) for r, f in pairs]).mean()


def fool(
    critic: nn.Module,
    fake: Tensor,
    real: Tensor | None = None,
    *given: Tensor,
    texture: bool = False,
) -> dict[str, Tensor]:
    """What the discriminators ask of ``fake``; they learn nothing from it.

    With ``real`` also that their features of both match, and with ``texture`` the statistics of
    these, whose last dimension is time. ``given`` is what they know beside either.
    """
    learning = [parameter for parameter in critic.parameters() if parameter.requires_grad]
    for parameter in learning:
        parameter.requires_grad_(False)
    fake_verdicts: list[Verdict] = critic(fake, *given)
    losses = {"adversarial": [generator_hinge(scores) for scores, _ in fake_verdicts]}
    if real is not None:
        with torch.no_grad():
            real_verdicts: list[Verdict] = critic(real, *given)
        pairs = [(r[1], f[1]) for r, f in zip(real_verdicts, fake_verdicts, strict=True)]
        losses["feature_matching"] = [feature_matching(*pair) for pair in pairs]
        if texture:
            losses["feature_statistics"] = [feature_statistics(*pair) for pair in pairs]
    for parameter in learning:
        parameter.requires_grad_(True)
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


def multi_resolution_stft(
    real: Tensor, fake: Tensor, norm: Callable[[Tensor], Tensor] = torch.norm
) -> Tensor:
    """Spectral convergence, mean absolute log-magnitude, and that of the mean over time.

    Averaged over window lengths (arXiv 1910.11480). The last is what noise has to go by: no phase
    or magnitude of it can be right bin by bin, and without that term some bins took the energy of
    their neighbours.

    Args:
        real: (B, S) samples.
        fake: (B, S) samples.
        norm: the Euclidean norm of a whole batch, of which this may be a part.
    """
    terms = []
    for n_fft in RESOLUTIONS:
        a, b = _magnitude(real, n_fft), _magnitude(fake, n_fft)
        means = [x.square().mean(dim=-1).log() / 2 for x in (a, b)]
        terms.append(
            norm(a - b) / norm(a)
            + (a.log() - b.log()).abs().mean()
            + LONG_TERM * (means[0] - means[1]).abs().mean()
        )
    return torch.stack(terms).mean()


def _magnitude(waveform: Tensor, n_fft: int) -> Tensor:
    window = torch.hann_window(n_fft, device=waveform.device)
    spectrum = torch.stft(waveform, n_fft, n_fft // 4, window=window, return_complex=True)
    return spectrum.abs().clamp(min=1e-4)


def phase_advance(real: Tensor, advance: Tensor, spec: MelSpec) -> Tensor:
    """How far off the advance of phases from frame to frame is, weighted by magnitude: 0 to 2.

    Args:
        real: (B, S) samples.
        advance: (B, T, n) radians beyond that of the bin's centre, as a vocoder gives them.
        spec: what says how long a frame and a hop are.
    """
    n_frames, n_bins = advance.shape[1:]
    window = to_device(torch.from_numpy(hann_window(spec)), real.device)
    spectrum = torch.stft(
        real, spec.n_fft, spec.hop_length, window=window, return_complex=True
    ).transpose(1, 2)[:, :n_frames, :n_bins]
    turned = spectrum[:, 1:] * spectrum[:, :-1].conj()
    weight = turned.abs().sqrt()
    weight = weight / weight.sum(dim=(1, 2), keepdim=True).clamp(min=1e-6)
    bins = torch.arange(n_bins, device=real.device)
    centres = 2 * torch.pi * ((bins * spec.hop_length) % spec.n_fft) / spec.n_fft
    error = 1 - torch.cos(advance[:, 1:] + centres - turned.angle())
    return (weight * error).sum(dim=(1, 2)).mean()
