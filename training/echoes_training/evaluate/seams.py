"""Whether one hears where the windows of a long sound meet."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from echoes_rt.format.mel import DB_RANGE, MelSpec
from echoes_rt.format.tokens import Grid
from echoes_rt.tasks.stream import fresh_columns, overlap_columns
from echoes_training.data.audio import Samples
from echoes_training.evaluate.evaluation import Evaluation
from echoes_training.evaluate.scores import Scores
from echoes_training.models.mel import log_mel

N_CLIPS = 4
"""Length of a long sound, in clips."""

NEAR_FRAMES = 2
"""Mel frames on either side that count as belonging to a seam: an analysis window's half."""

Flags = NDArray[np.bool_]


def seam_scores(evaluation: Evaluation) -> Scores:
    """Spectral flux, the mean change of the log-mel from frame to frame, in dB.

    ``windows``: where a window begins or ends to be heard; ``chunks``: where two pieces of the
    stream meet; ``elsewhere``: all other frames.
    """
    echoes, config = evaluation.echoes, evaluation.config
    spec, grid = echoes.manifest.mel, echoes.manifest.tokens.audio
    # Of labels that lie far apart in the alphabet.
    pictures = evaluation.some_pictures(1)
    count = min(config.n_streams, len(pictures))
    chosen = np.linspace(0, len(pictures), count, endpoint=False).astype(int)
    found: dict[str, list[NDArray[np.float64]]] = {"windows": [], "chunks": [], "elsewhere": []}
    for i in tqdm(chosen.tolist(), desc="long sounds", unit="sound"):
        asked = {"duration": N_CLIPS * spec.duration_s, "seed": config.seed + i}
        chunks = [*echoes.stream(pictures[i].image or "", **asked, **evaluation.options)]
        flux = spectral_flux(np.concatenate(chunks), spec)
        at_windows = _near(window_frames(len(flux), spec, grid), len(flux))
        ends = np.cumsum([len(chunk) for chunk in chunks])[:-1] // spec.hop_length
        at_chunks = _near(ends.tolist(), len(flux))
        found["windows"].append(flux[at_windows])
        found["chunks"].append(flux[at_chunks])
        found["elsewhere"].append(flux[~at_windows & ~at_chunks])
    return {"n": count, **{name: _summary(parts) for name, parts in found.items()}}


def spectral_flux(samples: Samples, spec: MelSpec) -> NDArray[np.float64]:
    """(T,) dB, of the change that leads to each frame; 0 for the first."""
    mel = log_mel(samples, spec).astype(np.float64) * DB_RANGE / 2
    return np.abs(np.diff(mel, axis=1, prepend=mel[:, :1])).mean(axis=0)


def window_frames(n_frames: int, spec: MelSpec, grid: Grid) -> list[int]:
    """Where the windows of a stream begin to be heard, and where the ones before them end."""
    per_column = spec.n_frames // grid.width
    overlap = overlap_columns(grid.width)
    fresh = fresh_columns(grid.width) * per_column
    starts = range(fresh, n_frames, fresh)
    frames = [frame for start in starts for frame in (start, start + overlap * per_column)]
    return [frame for frame in frames if frame < n_frames]


def _near(frames: Sequence[int], n_frames: int) -> Flags:
    flags = np.zeros(n_frames, dtype=np.bool_)
    for frame in frames:
        flags[max(0, frame - NEAR_FRAMES) : frame + NEAR_FRAMES + 1] = True
    return flags


def _summary(parts: list[NDArray[np.float64]]) -> Scores | None:
    flux = np.concatenate(parts)
    if not flux.size:
        return None
    median, high = np.percentile(flux, [50, 95])
    return {
        "n_frames": len(flux),
        "median_db": round(float(median), 3),
        "p95_db": round(float(high), 3),
    }
