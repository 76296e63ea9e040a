"""Graph ``log_mel``, held to the definition written a second time."""

import numpy as np
import pytest

from echoes_rt import Echoes
from echoes_rt.format.mel import mel_filterbank


@pytest.mark.parametrize("n_samples", [130, 1000, 1024])
def test_it_is_that_of_specvqgan_frame_by_frame(n_samples: int, echoes: Echoes) -> None:
    spec = echoes.manifest.mel
    n_fft, hop = spec.n_fft, spec.hop_length
    samples = np.random.default_rng(0).normal(0, 0.1, n_samples).astype(np.float32)
    mel = echoes.log_mel(samples[None])[0]
    assert mel.shape == (spec.n_mels, n_samples // hop)
    assert mel.dtype == np.float32
    half = n_fft // 2
    padded = np.concatenate([samples[half:0:-1], samples, samples[-2 : -half - 2 : -1]])
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft)
    bank = mel_filterbank(spec).astype(np.float64)
    for t in range(mel.shape[1]):
        frame = padded[hop * t : hop * t + n_fft].astype(np.float64) * window
        angles = np.outer(np.arange(half + 1), np.arange(n_fft)) * 2 * np.pi / n_fft
        spectrum = np.hypot((frame * np.cos(angles)).sum(1), (frame * np.sin(angles)).sum(1))
        decibels = 20 * np.log10(np.maximum(1e-5, bank @ spectrum)) - 20
        expected = 2 * np.clip((decibels + 100) / 100, 0, 1) - 1
        np.testing.assert_allclose(mel[:, t], expected, atol=1e-5)


def test_silence_and_noise_stay_in_range(echoes: Echoes) -> None:
    loud = np.random.default_rng(0).choice([-1.0, 1.0], 4096).astype(np.float32)
    mels = echoes.log_mel(np.stack([np.zeros(4096, np.float32), loud]))
    assert (mels[0] == -1).all()
    assert -1 <= mels[1].min() <= mels[1].max() <= 1
