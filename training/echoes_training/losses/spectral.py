"""Losses of spectrograms: multi-resolution STFT (arXiv 1910.11480), and how phases advance."""

from collections.abc import Callable

import torch
from torch import Tensor

from echoes_rt.format.mel import MelSpec, hann_window
from echoes_training.device import to_device

RESOLUTIONS = (512, 1024, 2048)
LONG_TERM = 4.0


def _magnitude(waveform: Tensor, n_fft: int) -> Tensor:
    window = torch.hann_window(n_fft, device=waveform.device)
    spectrum = torch.stft(waveform, n_fft, n_fft // 4, window=window, return_complex=True)
    return spectrum.abs().clamp(min=1e-4)


def multi_resolution_stft(
    real: Tensor, fake: Tensor, norm: Callable[[Tensor], Tensor] = torch.norm
) -> Tensor:
    """Spectral convergence, mean absolute log-magnitude, and that of the mean over time.

    Averaged over window lengths. The last is what noise has to go by: no phase or magnitude of it
    can be right bin by bin, and without that term some bins took the energy of their neighbours.

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
