"""The pitch of a sound, and how far another version of it strays from it."""

import numpy as np
from numpy.typing import NDArray

LOW_HZ, HIGH_HZ = 70.0, 1500.0
WINDOW_S, HOP_S = 0.06, 0.02
CLEAR = 0.15
"""A frame has a pitch where the cumulative mean normalised difference falls below this."""

Samples = NDArray[np.float32]


def pitches(samples: Samples, sample_rate: int) -> NDArray[np.float64]:
    """(T,) Hz of each frame, NaN where none is clear: YIN (de Cheveigne and Kawahara, 2002)."""
    window, hop = int(WINDOW_S * sample_rate), int(HOP_S * sample_rate)
    shortest, longest = int(sample_rate / HIGH_HZ), int(sample_rate / LOW_HZ)
    frames = np.lib.stride_tricks.sliding_window_view(samples, window + longest)[::hop]
    return np.array([_pitch(frame, window, shortest, longest, sample_rate) for frame in frames])


def _pitch(frame: Samples, window: int, shortest: int, longest: int, sample_rate: int) -> float:
    x = frame.astype(np.float64)
    if np.square(x).mean() < 1e-7:
        return float("nan")
    size = 1 << (len(x) + window).bit_length()
    correlation = np.fft.irfft(np.fft.rfft(x, size) * np.fft.rfft(x[:window], size).conj(), size)[
        : longest + 1
    ]
    power = np.concatenate([[0.0], np.cumsum(x**2)])
    energy = power[window : window + longest + 1] - power[: longest + 1]
    difference = energy[0] + energy - 2 * correlation
    lags = np.arange(1, longest + 1)
    normalised = np.ones(longest + 1)
    normalised[1:] = difference[1:] * lags / np.maximum(np.cumsum(difference[1:]), 1e-12)
    clear = np.flatnonzero(normalised[shortest:] < CLEAR)
    if not len(clear):
        return float("nan")
    lag = shortest + int(clear[0])
    while lag < longest and normalised[lag + 1] < normalised[lag]:
        lag += 1
    if lag < longest:  # the vertex of a parabola through three points
        left, middle, right = normalised[lag - 1 : lag + 2]
        bend = left - 2 * middle + right
        return float(sample_rate / (lag + (0.5 * (left - right) / bend if bend > 0 else 0.0)))
    return sample_rate / lag


def kept_within_a_semitone(real: Samples, other: Samples, sample_rate: int) -> tuple[int, int]:
    """Frames of ``other`` within a semitone of the pitch of ``real``, and frames with a pitch."""
    wanted, found = pitches(real, sample_rate), pitches(other, sample_rate)
    voiced = np.isfinite(wanted)
    semitones = 12 * np.abs(np.log2(found[voiced] / wanted[voiced]))
    return int((semitones <= 1).sum()), int(voiced.sum())
