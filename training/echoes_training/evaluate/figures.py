"""Pictures of a report: bars, the confusion matrix, and spectrograms side by side."""

import os
from pathlib import Path
from typing import Any

import cv2
import matplotlib

matplotlib.use("Agg")

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from echoes_rt.audio import clip_mel
from echoes_rt.errors import InputError
from echoes_rt.spec.mel import MelSpec, mel_filterbank
from echoes_training.data.audio import Samples
from echoes_training.evaluate import chain
from echoes_training.evaluate.parts import SERIES
from echoes_training.evaluate.report import Evaluation

COLOURS = ("#444444", "#7aa6c2", "#2f6f9f", "#d9652b")
TICKS_HZ = (200, 500, 1000, 2000, 5000)
DPI = 100


def draw_report(report: dict[str, Any], path: Path) -> None:
    """Bars of the accuracies by label, and beneath them what generated sounds are taken for."""
    names = [name for name in SERIES if name in report]
    has_matrix = "generated" in report
    figure = Figure(figsize=(12, 12 if has_matrix else 4.5), layout="constrained")
    axes = figure.subplots(2 if has_matrix else 1, 1, squeeze=False)[:, 0]
    _draw_bars(axes[0], report, names)
    if has_matrix:
        _draw_confusion(axes[1], report)
    save_figure(figure, path)


def _draw_bars(axis: Axes, report: dict[str, Any], names: list[str]) -> None:
    labels = report["labels"]
    width = 0.8 / len(names)
    for i, name in enumerate(names):
        shares = [report[name]["per_label"].get(label, 0.0) for label in labels]
        places = np.arange(len(labels)) + (i - (len(names) - 1) / 2) * width
        title = f"{name} ({report[name]['overall']:.2f}, n = {report[name]['n']})"
        axis.bar(places, shares, width, label=title, color=COLOURS[SERIES.index(name)])
    axis.axhline(1 / len(labels), color="black", linewidth=0.8, linestyle=":")
    axis.set_xticks(
        range(len(labels)), [_plain(label) for label in labels], rotation=40, ha="right"
    )
    axis.set_ylabel("share recognised")
    axis.set_ylim(0, 1.02)
    axis.set_title(f"{report['bundle']['name']}: held-out sounds recognised (dotted: chance)")
    axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.28), ncols=len(names), frameon=False)


def _draw_confusion(axis: Axes, report: dict[str, Any]) -> None:
    labels = [_plain(label) for label in report["labels"]]
    counts = np.array(report["generated"]["confusion"])
    shares = counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
    axis.imshow(shares, cmap="Oranges", vmin=0, vmax=1)
    axis.set_xticks(range(len(labels)), labels, rotation=40, ha="right")
    axis.set_yticks(range(len(labels)), labels)
    axis.set_xlabel("heard as")
    axis.set_ylabel("picture of")
    axis.set_title("sounds generated from held-out pictures, in %")
    for (row, column), share in np.ndenumerate(shares):
        if share > 0:
            colour = "white" if share > 0.6 else "black"
            text = f"{100 * share:.0f}"
            axis.text(column, row, text, ha="center", va="center", color=colour, fontsize=8)


def draw_sheet(evaluation: Evaluation, path: Path) -> None:
    """Of each label: a held-out picture, a real held-out sound, two sounds made from the picture.

    The picture and the sound are the first of their label in the evaluation, not the best.
    """
    spec = evaluation.echoes.bundle.manifest.mel
    jobs = evaluation.jobs()
    rows = []
    for label in evaluation.labels:
        mine = [(clip, job) for clip, job in jobs if clip.label == label][:2]
        if mine:
            rows.append((label, [job for _, job in mine]))
    # Alone in its batch size or not, a job gives the same sound.
    flat = [job for _, row in rows for job in row]
    parts = chain.generate(
        evaluation.echoes, flat, evaluation.sampling, evaluation.config.batch_size
    )
    made = iter(np.concatenate([*parts]))
    columns = 2 + max(len(row) for _, row in rows)
    figure = Figure(figsize=(3.2 * columns, 1.75 * len(rows)), layout="constrained")
    axes = figure.subplots(len(rows), columns, squeeze=False)
    for line, (label, row) in zip(axes, rows, strict=True):
        _draw_picture(line[0], row[0].picture, label)
        real = next(clip for clip in evaluation.sounds if clip.label == label)
        _draw_sound(line[1], evaluation.samples(real), spec, f"{_plain(label)}: real")
        for axis, job in zip(line[2:], row, strict=False):
            sound = next(made)
            heard = evaluation.labels[evaluation.judge.judge(sound[None]).predicted[0]]
            title = f"generated, seed {job.seed}: heard as {_plain(heard)}"
            _draw_sound(axis, sound, spec, title)
        for axis in line[2 + len(row) :]:
            axis.axis("off")
    for axis in axes[-1, 1:]:
        axis.set_xlabel("seconds", fontsize=8)
    save_figure(figure, path)


def _draw_picture(axis: Axes, path: str, label: str) -> None:
    pixels = cv2.imread(path, cv2.IMREAD_COLOR)
    if pixels is None:
        raise InputError(f"cannot decode the picture {path}; give another index")
    axis.imshow(pixels[:, :, ::-1])
    axis.set_xticks([])
    axis.set_yticks([])
    axis.set_ylabel(_plain(label), fontsize=10)


def _draw_sound(axis: Axes, samples: Samples, spec: MelSpec, title: str) -> None:
    extent = (0.0, spec.duration_s, -0.5, spec.n_mels - 0.5)
    mel = clip_mel(np.nan_to_num(samples), spec)
    axis.imshow(mel, origin="lower", aspect="auto", vmin=-1, vmax=1, extent=extent, cmap="magma")
    bands = _band_centres(spec)
    ticks = [hz for hz in TICKS_HZ if bands[0] <= hz <= bands[-1]]
    axis.set_yticks(np.interp(ticks, bands, np.arange(spec.n_mels)), [_hz(hz) for hz in ticks])
    axis.tick_params(labelsize=7)
    axis.set_title(title, fontsize=8)


def _band_centres(spec: MelSpec) -> Samples:
    """(n_mels,) Hz at which each filter is highest."""
    filters = mel_filterbank(spec)
    return np.asarray(filters.argmax(axis=1) * (spec.sample_rate / spec.n_fft), dtype=np.float32)


def _hz(hz: int) -> str:
    return f"{hz // 1000} kHz" if hz >= 1000 else f"{hz} Hz"


def _plain(label: str) -> str:
    return label.replace("_", " ")


def save_figure(figure: Figure, path: Path) -> None:
    """The file appears whole or not at all.

    Raises:
        InputError: if it cannot be written.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        # Without the software's name, so that the same report is the same file.
        figure.savefig(partial, format="png", dpi=DPI, metadata={"Software": None})
        partial.replace(path)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from error
    finally:
        partial.unlink(missing_ok=True)
