"""The noise of a run, from its seed alone."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from echoes_rt.errors import InputError

MAX_SEED = 2**64 - 1

MEL_STREAM = 1 << 63
"""Added to a window's number: the noise of its mel decoder."""

VARY_STREAM = (1 << 64) - 1
"""Chooses which codes ``vary`` keeps."""

# A uniform is (2 m + 1) / 2**24 for the 23 high bits m of a word: exact in float32, never 0 or 1.
_MANTISSA_BITS = 23


def uniforms(seeds: Sequence[int], stream: int, count: int) -> NDArray[np.float32]:
    """Uniforms strictly between 0 and 1, one Philox4x64-10 stream per batch member.

    The key is (seed, stream), the low word first, and the counter of the first block is
    (1, 0, 0, 0), as in numpy.random.Philox(key=seed + (stream << 64)). The tokens of window w of a
    long sound are drawn by stream w, all others by stream 0: word i is the noise of token i.

    Returns:
        (B, count).

    Raises:
        InputError: if a seed is not in [0, 2**64 - 1].
    """
    noise = np.empty((len(seeds), count), dtype=np.float32)
    for member, seed in enumerate(seeds):
        words = np.random.Philox(key=check_seed(seed) + (stream << 64)).random_raw(count)
        high_bits = (words >> np.uint64(64 - _MANTISSA_BITS)).astype(np.float32)
        noise[member] = (high_bits + np.float32(0.5)) * np.float32(2.0**-_MANTISSA_BITS)
    return noise


def check_seed(seed: int) -> int:
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer):
        raise InputError(f"seed must be a whole number, got {seed!r}")
    if not 0 <= seed <= MAX_SEED:
        raise InputError(f"seed must be in [0, {MAX_SEED}], got {seed}")
    return int(seed)
