"""The noise of a run, from its seed alone."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from echoes_rt.errors import InputError

MAX_SEED = 2**64 - 1

# A uniform is (2 m + 1) / 2**24 for the 23 high bits m of a word: exact in float32, never 0 or 1.
_MANTISSA_BITS = 23


def uniforms(
    seeds: Sequence[int], steps: int, n_tokens: int, window: int = 0
) -> NDArray[np.float32]:
    """Uniforms strictly between 0 and 1, one Philox4x64-10 stream per batch member.

    The key is (seed, window), the low word first, and the counter of the first block is
    (1, 0, 0, 0), as in numpy.random.Philox(key=seed + (window << 64)); long sounds are made
    window by window, all else is window 0. Word number ``(step * 2 + which) * n_tokens + token``
    of the stream is the noise of that token, so the first steps do not depend on how many follow.

    Returns:
        (steps, 2, B, n_tokens); index 0 of the second axis draws tokens, 1 ranks them.

    Raises:
        InputError: if a seed is not in [0, 2**64 - 1].
    """
    noise = np.empty((steps, 2, len(seeds), n_tokens), dtype=np.float32)
    for member, seed in enumerate(seeds):
        noise[:, :, member] = _stream(check_seed(seed), window, 2 * steps * n_tokens).reshape(
            steps, 2, n_tokens
        )
    return noise


def check_seed(seed: int) -> int:
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer):
        raise InputError(f"seed must be a whole number, got {seed!r}")
    if not 0 <= seed <= MAX_SEED:
        raise InputError(f"seed must be in [0, {MAX_SEED}], got {seed}")
    return int(seed)


def _stream(seed: int, window: int, count: int) -> NDArray[np.float32]:
    words = np.random.Philox(key=seed + (window << 64)).random_raw(count)
    high_bits = (words >> np.uint64(64 - _MANTISSA_BITS)).astype(np.float32)
    return np.asarray((high_bits + np.float32(0.5)) * np.float32(2.0**-_MANTISSA_BITS))
