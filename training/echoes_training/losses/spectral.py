"""Multi-resolution STFT loss (arXiv 1910.11480)."""

from collections.abc import Callable

import torch
from torch import Tensor

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
