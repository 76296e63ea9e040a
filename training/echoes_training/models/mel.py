"""The log-mel of ``echoes_rt.format.mel`` as a differentiable module."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from echoes_rt.format.mel import (
    DB_OFFSET,
    DB_RANGE,
    LOG_FLOOR,
    MelSpec,
    hann_window,
    mel_filterbank,
)


class MelSpectrogram(nn.Module):
    """(B, S) samples to (B, n_mels, S // hop_length) log-mel in [-1, 1].

    Frame ``t`` is centred on sample ``t * hop_length``; the frame that would be centred on the end
    is left out, so that a clip of ``n_samples`` gives ``n_frames``. ``dtype`` is computed in.
    """

    window: Tensor
    filters: Tensor

    def __init__(self, spec: MelSpec, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.spec = spec
        self.dtype = dtype
        self.register_buffer("window", torch.from_numpy(hann_window(spec)), persistent=False)
        self.register_buffer("filters", torch.from_numpy(mel_filterbank(spec)), persistent=False)

    def forward(self, waveform: Tensor) -> Tensor:
        spectrum = torch.stft(
            waveform.to(self.dtype),
            self.spec.n_fft,
            self.spec.hop_length,
            window=self.window.to(self.dtype),
            center=True,
            pad_mode="reflect",
            return_complex=True,
        )[..., : waveform.shape[-1] // self.spec.hop_length]
        magnitudes = self.filters.to(self.dtype) @ spectrum.abs()
        decibels = 20 * torch.log10(magnitudes.clamp(min=LOG_FLOOR))
        return 2 * ((decibels + DB_OFFSET) / DB_RANGE).clamp(0, 1) - 1


@torch.no_grad()
def log_mel(samples: NDArray[np.float32], spec: MelSpec) -> NDArray[np.float32]:
    """(S,) samples to (n_mels, S // hop_length), in double precision as a bundle's graph."""
    mel = MelSpectrogram(spec, torch.float64)(torch.from_numpy(samples)[None])
    return np.asarray(mel[0].float().numpy())
