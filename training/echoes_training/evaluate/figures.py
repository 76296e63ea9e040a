"""Spectrograms and pictures side by side."""

import itertools
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from echoes_rt.format.mel import MelSpec, mel_filterbank
from echoes_rt.io.image import RgbArray, read_image
from echoes_rt.io.output_file import written
from echoes_training.data.audio import Samples
from echoes_training.evaluate.evaluation import Evaluation, jobs_of
from echoes_training.models.mel import log_mel

TICKS_HZ = (200, 500, 1000, 2000, 5000)
DPI = 100


def draw_sheet(evaluation: Evaluation, path: Path) -> None:
    """Of each label: a held-out picture and two sounds made from it, a sound and a picture of it.

    The picture and the sound are the first of their label in the evaluation, not the best.
    """
    jobs = evaluation.picture_jobs
    rows = []
    for label in evaluation.labels:
        if mine := [job for job in jobs if job.clip.label == label][:2]:
            rows.append((label, mine))
    # Alone in its batch or not, a job gives the same result.
    chosen = [job for _, row in rows for job in row]
    made = itertools.chain.from_iterable(evaluation.made_sounds(chosen))
    real = [next(c for c in evaluation.heldout_sounds if c.label == label) for label, _ in rows]
    asked = jobs_of(real, 1, evaluation.config.seed)
    pictures = itertools.chain.from_iterable(evaluation.made_pictures(asked))
    n_made = max(len(row) for _, row in rows)
    figure = Figure(figsize=(3.2 * (n_made + 3), 1.75 * len(rows)), layout="constrained")
    axes = figure.subplots(len(rows), n_made + 3, squeeze=False)
    for line, (label, row), clip, picture in zip(axes, rows, real, pictures, strict=True):
        _draw_picture(line[0], read_image(row[0].clip.image or ""), _plain(label))
        for axis, job in zip(line[1:], row, strict=False):
            sound = next(made)
            heard = evaluation.labels[evaluation.judge.judge(sound[None]).predicted[0]]
            title = f"generated, seed {job.seed}: heard as {_plain(heard)}"
            draw_sound(axis, sound, evaluation.judge.spec, title)
        for axis in line[1 + len(row) : 1 + n_made]:
            axis.axis("off")
        draw_sound(line[-2], evaluation.samples(clip), evaluation.judge.spec, "real")
        _draw_picture(line[-1], picture, "generated from it")
    for axis in axes[-1, 1:-1]:
        axis.set_xlabel("seconds", fontsize=8)
    save_figure(figure, path)


def _draw_picture(axis: Axes, pixels: RgbArray, title: str) -> None:
    axis.imshow(pixels)
    axis.set_xticks([])
    axis.set_yticks([])
    axis.set_ylabel(title, fontsize=10)


def draw_sound(axis: Axes, samples: Samples, spec: MelSpec, title: str) -> None:
    extent = (0.0, spec.duration_s, -0.5, spec.n_mels - 0.5)
    mel = log_mel(np.nan_to_num(samples), spec)
    axis.imshow(mel, origin="lower", aspect="auto", vmin=-1, vmax=1, extent=extent, cmap="magma")
    bands = mel_filterbank(spec).argmax(axis=1) * (spec.sample_rate / spec.n_fft)
    ticks = [hz for hz in TICKS_HZ if bands[0] <= hz <= bands[-1]]
    axis.set_yticks(np.interp(ticks, bands, np.arange(spec.n_mels)), [_hz(hz) for hz in ticks])
    axis.tick_params(labelsize=7)
    axis.set_title(title, fontsize=8)


def _hz(hz: int) -> str:
    return f"{hz // 1000} kHz" if hz >= 1000 else f"{hz} Hz"


def _plain(label: str) -> str:
    return label.replace("_", " ")


def save_figure(figure: Figure, path: Path) -> None:
    """The file appears whole or not at all.

    Raises:
        InputError: if it cannot be written.
    """
    with written(path) as partial:
        # Without the software's name, so that the same report is the same file.
        figure.savefig(partial, format="png", dpi=DPI, metadata={"Software": None})
