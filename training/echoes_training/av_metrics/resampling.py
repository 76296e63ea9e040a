"""Band-limited resampling by the filter that the published numbers were made with.

Another good resampler moves a Frechet distance by tens (README of audioldm_eval), so this is the
one of torchaudio's ``Resample`` with its default settings.
"""

import math

import numpy as np
from numpy.typing import NDArray

ZERO_CROSSINGS = 6
ROLLOFF = 0.99


def resample(
    samples: NDArray[np.float32], sample_rate: int, wanted_rate: int
) -> NDArray[np.float32]:
    """(S,) to (ceil(S * wanted_rate / sample_rate),).

    Output n is the sum over inputs k of ``x[k] h(n / wanted_rate - k / sample_rate)`` with
    ``h(t) = c / sample_rate * sinc(c t) * cos(pi c t / (2 * 6))**2``, zero where ``|c t| > 6``, and
    ``c`` 0.99 times the lower of the two rates.
    """
    if sample_rate == wanted_rate:
        return samples
    divisor = math.gcd(sample_rate, wanted_rate)
    old, new = sample_rate // divisor, wanted_rate // divisor
    # The filter has the same taps again after ``new`` outputs, which are ``old`` inputs.
    kernel, reach = _kernel(old, new)
    padded = np.pad(samples, (reach, reach + old))
    frames = np.lib.stride_tricks.sliding_window_view(padded, kernel.shape[1])[::old]
    length = math.ceil(len(samples) * wanted_rate / sample_rate)
    return np.asarray((frames @ kernel.T).reshape(-1)[:length], dtype=np.float32)


def _kernel(old: int, new: int) -> tuple[NDArray[np.float32], int]:
    """(new, 2 reach + old): the taps of ``new`` outputs in turn, from ``reach`` inputs before."""
    cutoff = ROLLOFF * min(old, new)
    reach = math.ceil(ZERO_CROSSINGS * old / cutoff)
    inputs = np.arange(-reach, reach + old) / old
    outputs = np.arange(new)[:, None] / new
    t = np.clip((inputs - outputs) * cutoff, -ZERO_CROSSINGS, ZERO_CROSSINGS)
    taps = np.sinc(t) * np.cos(np.pi * t / (2 * ZERO_CROSSINGS)) ** 2 * cutoff / old
    return taps.astype(np.float32), reach
