"""What a run sounds like: sheets of spectrograms for the eye, and the sounds."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import numpy as np
import soundfile
import torch
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


SOUNDS = 4
SOUND_S = 2.5
"""How many sounds are written, and how much of each."""


def write_sounds(path: Path, originals: Tensor, results: Tensor, sample_rate: int) -> None:
    """One file: of some (B, S) originals the beginning, each followed by that of its result."""
    shown = slice(0, None, -(-len(originals) // SOUNDS)), slice(round(SOUND_S * sample_rate))
    both = torch.stack([originals[shown].cpu(), results[shown].float().cpu()], dim=1)
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, both.clamp(-1, 1).flatten().numpy(), sample_rate)


def write_samples(
    run: Path, step: int, mels: tuple[Tensor, Tensor], sounds: tuple[Tensor, Tensor], spec: MelSpec
) -> None:
    """What a step made of real sounds: mels (B, n_mels, T) of up to eight, and (B, S) sounds."""
    shown = slice(0, None, -(-len(mels[0]) // 8))
    path = run / "samples" / f"{step:07d}.png"
    write_mel_sheet(path, [mel[shown] for mel in mels], spec)
    write_sounds(path.with_suffix(".wav"), *sounds, spec.sample_rate)
