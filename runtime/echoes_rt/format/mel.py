"""The only definition of the log-mel spectrogram, the one of SpecVQGAN."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class MelSpec:
    """Log-mel parameters and the length of one generated clip.

    Frames are centred with reflect padding and a periodic Hann window; magnitudes, not powers, are
    summed by Slaney's filters. The log-mel of SpecVQGAN (feature_extraction, MIT) is
    ``clip((20 log10(max(m, 1e-5)) + 80) / 100, 0, 1)``; the model reads it scaled to [-1, 1].
    """

    sample_rate: int = 22_050
    n_fft: int = 1024
    win_length: int = 1024
    hop_length: int = 256
    n_mels: int = 80
    f_min: float = 125.0
    f_max: float = 7600.0
    n_frames: int = 432

    def __post_init__(self) -> None:
        sizes = (self.sample_rate, self.n_fft, self.hop_length, self.n_mels, self.n_frames)
        if min(sizes) < 1:
            raise ValueError(f"mel sizes must be positive, got {sizes}")
        if not self.hop_length <= self.win_length <= self.n_fft:
            raise ValueError(
                "mel needs hop_length <= win_length <= n_fft, got "
                f"{self.hop_length}, {self.win_length}, {self.n_fft}"
            )
        if self.n_fft % self.hop_length:
            raise ValueError(
                f"n_fft must be a multiple of hop_length, got {self.n_fft}, {self.hop_length}"
            )
        if not 0 <= self.f_min < self.f_max <= self.sample_rate / 2:
            raise ValueError(
                f"mel needs 0 <= f_min < f_max <= {self.sample_rate / 2:g} Hz, got "
                f"{self.f_min:g}, {self.f_max:g}"
            )

    @property
    def n_samples(self) -> int:
        """Samples in one clip: ``n_frames * hop_length``."""
        return self.n_frames * self.hop_length

    @property
    def duration_s(self) -> float:
        return self.n_samples / self.sample_rate

    @property
    def frame_rate(self) -> float:
        """Mel frames per second."""
        return self.sample_rate / self.hop_length


LOG_FLOOR = 1e-5
DB_OFFSET = 80.0
DB_RANGE = 100.0


def _hz_to_mel(hz: NDArray[np.float64]) -> NDArray[np.float64]:
    """Slaney's mel scale: linear below 1 kHz, logarithmic above (Auditory Toolbox, 1998)."""
    linear = hz / (200.0 / 3)
    log_step = np.log(6.4) / 27
    with np.errstate(divide="ignore"):
        logarithmic = 15.0 + np.log(hz / 1000.0) / log_step
    return np.where(hz >= 1000.0, logarithmic, linear)


def _mel_to_hz(mel: NDArray[np.float64]) -> NDArray[np.float64]:
    log_step = np.log(6.4) / 27
    return np.where(mel >= 15.0, 1000.0 * np.exp(log_step * (mel - 15.0)), mel * (200.0 / 3))


def mel_filterbank(spec: MelSpec) -> FloatArray:
    """Triangular Slaney filters of unit area.

    Returns:
        (n_mels, n_fft // 2 + 1) float32.
    """
    fft_hz = np.linspace(0.0, spec.sample_rate / 2, spec.n_fft // 2 + 1)
    low, high = _hz_to_mel(np.array([spec.f_min, spec.f_max]))
    edges = _mel_to_hz(np.linspace(low, high, spec.n_mels + 2))
    slopes = edges[:, None] - fft_hz[None, :]
    widths = np.diff(edges)
    rising = -slopes[:-2] / widths[:-1, None]
    falling = slopes[2:] / widths[1:, None]
    triangles = np.maximum(0.0, np.minimum(rising, falling))
    return np.asarray(triangles * (2.0 / (edges[2:] - edges[:-2]))[:, None], dtype=np.float32)


def hann_window(spec: MelSpec) -> FloatArray:
    """Periodic Hann window of ``win_length``, zero-padded on both sides to ``n_fft``."""
    window = np.zeros(spec.n_fft)
    start = (spec.n_fft - spec.win_length) // 2
    phase = 2 * np.pi * np.arange(spec.win_length) / spec.win_length
    window[start : start + spec.win_length] = 0.5 - 0.5 * np.cos(phase)
    return window.astype(np.float32)
