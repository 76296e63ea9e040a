"""Multi-resolution STFT loss (arXiv 1910.11480)."""

import torch
from torch import Tensor

RESOLUTIONS = (512, 1024, 2048)


def _magnitude(waveform: Tensor, n_fft: int) -> Tensor:
    window = torch.hann_window(n_fft, device=waveform.device)
    spectrum = torch.stft(waveform, n_fft, n_fft // 4, window=window, return_complex=True)
    return spectrum.abs().clamp(min=1e-4)


def multi_resolution_stft(real: Tensor, fake: Tensor) -> Tensor:
    """Spectral convergence plus mean absolute log-magnitude, averaged over window lengths.

    Args:
        real: (B, S) samples.
        fake: (B, S) samples.
    """
    terms = []
    for n_fft in RESOLUTIONS:
        a, b = _magnitude(real, n_fft), _magnitude(fake, n_fft)
        terms.append((a - b).norm() / a.norm() + (a.log() - b.log()).abs().mean())
    return torch.stack(terms).mean()
