"""Sound from a log-mel without a network: what the mel alone still holds."""

import torch
from torch import Tensor

from echoes_rt.format.mel import DB_OFFSET, DB_RANGE, MelSpec, hann_window, mel_filterbank

MOMENTUM = 0.99
"""Of the fast Griffin-Lim algorithm (Perraudin, Balazs, Sondergaard, WASPAA 2013)."""


def griffin_lim(mel: Tensor, spec: MelSpec, iterations: int = 32, seed: int = 0) -> Tensor:
    """(B, n_mels, T) log-mel in [-1, 1] to (B, T * hop_length) samples."""
    decibels = (mel.float() + 1) / 2 * DB_RANGE - DB_OFFSET
    magnitude = _linear(10 ** (decibels / 20), spec)
    # One frame more, so that the last samples have as many windows as the others.
    magnitude = torch.nn.functional.pad(magnitude, (0, 1), mode="replicate")
    window = torch.from_numpy(hann_window(spec)).to(mel.device)
    n_samples = mel.shape[-1] * spec.hop_length
    generator = torch.Generator().manual_seed(seed)
    phase = 2 * torch.pi * torch.rand(magnitude.shape, generator=generator).to(mel.device)
    spectrum = torch.polar(magnitude, phase)
    previous = torch.zeros_like(spectrum)
    for _ in range(iterations):
        samples = torch.istft(
            spectrum, spec.n_fft, spec.hop_length, window=window, length=n_samples
        )
        rebuilt = torch.stft(
            samples, spec.n_fft, spec.hop_length, window=window, return_complex=True
        )
        moved = rebuilt - MOMENTUM / (1 + MOMENTUM) * previous
        previous = rebuilt
        spectrum = magnitude * moved / moved.abs().clamp(min=1e-9)
    return torch.istft(spectrum, spec.n_fft, spec.hop_length, window=window, length=n_samples)


def _linear(mel_magnitude: Tensor, spec: MelSpec, iterations: int = 30) -> Tensor:
    """(B, n_mels, T) to (B, n_fft // 2 + 1, T) magnitudes, never negative, that give these mels.

    Multiplicative updates of non-negative least squares (Lee and Seung, 2001).
    """
    filters = torch.from_numpy(mel_filterbank(spec)).to(mel_magnitude.device)
    target = filters.t() @ mel_magnitude
    found = target / (filters.t() @ filters.sum(dim=1))[:, None].clamp(min=1e-9)
    for _ in range(iterations):
        found = found * target / (filters.t() @ (filters @ found)).clamp(min=1e-12)
    return found
