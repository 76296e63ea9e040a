"""Spectrogram sheets: what a run sounds like, for the eye."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import numpy as np
from matplotlib.figure import Figure
from torch import Tensor

from echoes_rt.format.mel import MelSpec


def write_mel_sheet(path: Path, rows: Sequence[Tensor], spec: MelSpec) -> None:
    """One row of spectrograms per (B, n_mels, T) tensor of mels in [-1, 1]."""
    columns = max(len(row) for row in rows)
    figure = Figure(figsize=(2.4 * columns, 1.8 * len(rows)), layout="constrained")
    axes = np.atleast_2d(figure.subplots(len(rows), columns, squeeze=False))
    extent = (0.0, spec.duration_s, 0.0, float(spec.n_mels))
    for row, line in zip(rows, axes, strict=True):
        for axis in line:
            axis.axis("off")
        for mel, axis in zip(row.detach().float().cpu().numpy(), line, strict=False):
            axis.imshow(mel, origin="lower", aspect="auto", vmin=-1, vmax=1, extent=extent)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=80)
