"""Long silences in recordings: what a model would otherwise learn best of all."""

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float32]

FRAME_S = 0.05
QUIET_DB = 50.0
"""A frame this far below the loudest one is silence."""
LONGEST_S = 0.6
"""Pauses between barks or ticks are shorter and stay as they are."""


def without_silence(samples: Samples, sample_rate: int) -> Samples:
    """(S,) to (S,): long silences are cut down, and what is left is repeated to the old length.

    Recordings of short events are often padded with digital silence, which is the easiest code to
    predict: a generator that sees it as it is answers with nothing at all.
    """
    hop = round(FRAME_S * sample_rate)
    n_frames = len(samples) // hop
    power = np.square(samples[: n_frames * hop].reshape(n_frames, hop)).mean(axis=1)
    kept = np.ones(n_frames, np.bool_)
    longest = round(LONGEST_S / FRAME_S)
    for start, end in _runs(power <= power.max(initial=0.0) * 10 ** (-QUIET_DB / 10)):
        if end - start > longest:
            # Half of the pause stays on either side: the tail of one event, the breath of the next.
            kept[start + longest // 2 : end - longest // 2] = False
    heard = samples[: n_frames * hop].reshape(n_frames, hop)[kept].reshape(-1)
    if kept.all() or not len(heard):
        return samples
    return np.resize(heard, len(samples)).astype(np.float32)


def _runs(flags: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """The [start, end) of each stretch that is true."""
    edges = np.flatnonzero(np.diff(flags.astype(np.int8), prepend=0, append=0))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]
