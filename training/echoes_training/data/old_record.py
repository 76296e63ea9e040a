"""Makes a clip sound like a worn shellac record."""

import numpy as np
from numpy.typing import NDArray

BAND_HZ = (250.0, 3800.0)
HISS_DB = -45.0
"""Below the music; at -34 dB the hiss is heard as rain."""
CLICKS_PER_SECOND = (5.0, 10.0)

Samples = NDArray[np.float32]


def aged(samples: Samples, sample_rate: int, seed: int) -> Samples:
    """(S,) to (S,): band-passed, slightly saturated, with hiss and clicks that ``seed`` varies."""
    rng = np.random.default_rng(seed)
    level = float(np.sqrt(np.square(samples).mean())) + 1e-9
    low, high = (edge * float(rng.uniform(0.85, 1.15)) for edge in BAND_HZ)
    music = _band(samples, sample_rate, low, high)
    music = np.tanh(music / level * 0.5) * level * 2
    hiss = _band(rng.standard_normal(len(samples)), sample_rate, low, high)
    hiss *= level * 10 ** ((HISS_DB + rng.uniform(-4, 2)) / 20) / float(hiss.std())
    seconds = len(samples) / sample_rate
    clicks = np.zeros(len(samples))
    count = int(rng.uniform(*CLICKS_PER_SECOND) * seconds)
    places = rng.integers(0, len(samples), count)
    clicks[places] = rng.uniform(0.5, 2.5, count) * rng.choice((-1, 1), count) * level
    clicks = 2 * _band(clicks, sample_rate, low, high)
    return (music + hiss + clicks).astype(np.float32)


def _band(samples: NDArray[np.floating], rate: int, low: float, high: float) -> NDArray[np.float64]:
    """Second-order slopes on either side, without phase: what a horn and a needle let through."""
    hz = np.maximum(np.fft.rfftfreq(len(samples), 1 / rate), 1e-3)
    gain = 1 / np.sqrt((1 + (low / hz) ** 4) * (1 + (hz / high) ** 4))
    return np.fft.irfft(np.fft.rfft(samples) * gain, len(samples))
