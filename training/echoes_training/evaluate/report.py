"""The whole evaluation of a bundle, on media that it was not trained on."""

import platform
from collections.abc import Callable, Sequence
from dataclasses import asdict
from importlib import metadata
from pathlib import Path

import numpy as np

from echoes_rt import __version__
from echoes_rt.io.image import RgbArray
from echoes_training.evaluate import tasks
from echoes_training.evaluate.dials import NEED_PICTURE_JUDGE
from echoes_training.evaluate.evaluation import Evaluation, Job, batches
from echoes_training.evaluate.scores import (
    Heard,
    Scores,
    accuracy,
    codebook_use,
    frechet_scores,
    loudness_scores,
)

LIBRARIES = ("numpy", "torch", "onnxruntime", "soundfile", "soxr")

TASKS: dict[str, Callable[[Evaluation], Scores]] = {
    "unknown": tasks.unknown_scores,
    "cogenerated": tasks.cogeneration_scores,
    "inpainted": tasks.inpainting_scores,
    "diversity": tasks.diversity_scores,
    "ranked": tasks.ranking_scores,
    "seams": tasks.seam_scores,
}


def evaluate(evaluation: Evaluation) -> Scores:
    """All numbers of a report, ready for JSON."""
    parts = evaluation.config.parts
    report: Scores = _origin(evaluation)
    _judge_sounds(evaluation, report)
    if NEED_PICTURE_JUDGE & {*parts}:
        _judge_pictures(evaluation, report)
    if "codebooks" in parts:
        report["codebooks"] = _codebooks(evaluation)
    for name, task in TASKS.items():
        if name in parts:
            report[name] = task(evaluation)
    return report


def _judge_sounds(evaluation: Evaluation, report: Scores) -> None:
    sounds, labels, parts = evaluation.heldout_sounds, evaluation.labels, evaluation.config.parts
    numbers = evaluation.numbers(sounds)
    real = evaluation.hear("real", evaluation.real_sounds(sounds), numbers)
    heard: dict[str, Heard] = {}
    for name, through in (
        ("vocoder", evaluation.through_vocoder),
        ("codec", evaluation.through_codec),
    ):
        if name in parts:
            heard[name] = evaluation.hear(name, through(sounds), numbers)
    if "generated" in parts:
        jobs = evaluation.picture_jobs
        wanted = evaluation.numbers([job.clip for job in jobs])
        made = evaluation.hear("generated", evaluation.made_sounds(jobs), wanted)
        heard["generated"] = made
    scores = {name: found.scores(labels) for name, found in {"real": real, **heard}.items()}
    if "generated" in parts:
        scores["generated"] |= {
            "n_pictures": len({job.clip for job in jobs}),
            "sounds": _sounds(jobs, made, labels),
        }
        report["loudness"] = loudness_scores(real, made, labels)
    report |= scores
    taught = evaluation.judge.model.taught.double().numpy()
    report["frechet"] = frechet_scores(
        real,
        {
            "real_train": (evaluation.numbers(evaluation.taught_sounds), taught),
            **{name: (found.numbers, found.embeddings) for name, found in heard.items()},
        },
    )


def _sounds(jobs: Sequence[Job], heard: Heard, labels: Sequence[str]) -> list[Scores]:
    """What is needed to find any of the generated sounds again."""
    return [
        {
            "label": job.clip.label,
            "picture": "/".join(Path(job.clip.image or "").parts[-2:]),
            "seed": job.seed,
            "heard_as": labels[heard.predicted[i]],
            "rms_dbfs": round(float(heard.levels.rms_dbfs[i]), 2),
            "peak_dbfs": round(float(heard.levels.peak_dbfs[i]), 2),
        }
        for i, job in enumerate(jobs)
    ]


def _judge_pictures(evaluation: Evaluation, report: Scores) -> None:
    pictures, labels = evaluation.heldout_pictures, evaluation.labels
    numbers = evaluation.numbers(pictures)
    real = [*evaluation.real_pictures(pictures)]
    seen = evaluation.see("real pictures", real, len(pictures))
    report["real_pictures"] = accuracy(numbers, seen, labels)
    if "image_codec" in evaluation.config.parts:
        codes = map(evaluation.image_codes, batches(pictures, evaluation.config.batch_size))
        decoded = [evaluation.echoes.decode_image(part) for part in codes]
        seen = evaluation.see("image_codec", decoded, len(pictures))
        errors = _pixel_errors(real, decoded)
        report["image_codec"] = accuracy(numbers, seen, labels) | errors
    if "pictures" in evaluation.config.parts:
        sounds = evaluation.some_sounds(evaluation.config.sounds_per_label)
        jobs = evaluation.jobs(sounds)
        seen = evaluation.see("pictures", evaluation.made_pictures(jobs), len(jobs))
        truth = evaluation.numbers([job.clip for job in jobs])
        report["pictures"] = accuracy(truth, seen, labels) | {"n_sounds": len({*sounds})}


def _pixel_errors(real: Sequence[RgbArray], decoded: Sequence[RgbArray]) -> Scores:
    """What no classifier has a say in: mean absolute errors, of 255."""
    of_codec: list[float] = []
    of_colour: list[float] = []
    for part, other in zip(real, decoded, strict=True):
        for pixels, found in zip(part.astype(np.float64), other, strict=True):
            of_codec.append(np.abs(pixels - found).mean())
            of_colour.append(np.abs(pixels - pixels.mean(axis=(0, 1))).mean())
    return {
        "pixel_error": round(float(np.mean(of_codec)), 2),
        "pixel_error_of_mean_colour": round(float(np.mean(of_colour)), 2),
    }


def _codebooks(evaluation: Evaluation) -> Scores:
    """Of every held-out picture and sound, labelled or not."""
    heldout = [clip for clip in evaluation.clips if clip.split == evaluation.config.split]
    layout = evaluation.echoes.manifest.tokens
    image = evaluation.image_codes([*{clip.image: clip for clip in heldout if clip.image}.values()])
    audio = evaluation.audio_codes([clip for clip in heldout if clip.audio])
    return {
        "image": codebook_use(image, layout.image.codebook_size),
        "audio": codebook_use(audio, layout.audio.codebook_size),
    }


def _origin(evaluation: Evaluation) -> Scores:
    return {
        "bundle": {
            "name": evaluation.echoes.manifest.name,
            "manifest_sha256": evaluation.manifest_sha256,
        },
        "settings": {
            **asdict(evaluation.config),
            "sampling": asdict(evaluation.sampling),
            "device": evaluation.echoes.choice.device,
        },
        "versions": {
            "echoes-rt": __version__,
            "python": platform.python_version(),
            **{name: metadata.version(name) for name in LIBRARIES},
        },
        "labels": list(evaluation.labels),
        "n_taught": len(evaluation.taught_sounds),
        "n_taught_pictures": len(evaluation.taught_pictures),
    }
