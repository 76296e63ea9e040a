"""Silence in recordings: what a model would otherwise learn best of all."""

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float32]

FRAME_S = 0.01
QUIET_DB = 50.0
"""A frame this far below the loudest one is silence."""
LONGEST_S = 0.6
"""Pauses between barks or ticks are shorter and stay as they are."""


def events_first(samples: Samples, sample_rate: int) -> Samples:
    """(S,) to (S,): starts at the first event; long pauses are cut down, silence fills the end.

    Recordings of short events are padded with digital silence anywhere. Silence is the easiest
    code to predict, so a generator that sees it at every place answers with nothing at all; where
    every sound begins at once, silence can only follow something.
    """
    hop = round(FRAME_S * sample_rate)
    n_frames = len(samples) // hop
    power = np.square(samples[: n_frames * hop].reshape(n_frames, hop)).mean(axis=1)
    kept = np.ones(n_frames, np.bool_)
    longest = round(LONGEST_S / FRAME_S)
    for start, end in _runs(power <= power.max(initial=0.0) * 10 ** (-QUIET_DB / 10)):
        if start == 0:
            kept[:end] = False
        elif end - start > longest:
            # Half of the pause stays on either side: the tail of one event, the breath of the next.
            kept[start + longest // 2 : end - longest // 2] = False
    if kept.all() or not kept.any():
        return samples
    heard = samples[: n_frames * hop].reshape(n_frames, hop)[kept].reshape(-1)
    return np.pad(heard, (0, len(samples) - len(heard))).astype(np.float32)


def _runs(flags: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """The [start, end) of each stretch that is true."""
    edges = np.flatnonzero(np.diff(flags.astype(np.int8), prepend=0, append=0))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]
