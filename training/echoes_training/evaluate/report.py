"""The whole evaluation of a bundle, on media that it was not trained on."""

import hashlib
import platform
from collections.abc import Callable, Iterator
from dataclasses import asdict
from importlib import metadata
from pathlib import Path

import numpy as np

from echoes_rt import __version__
from echoes_rt.format.manifest import MANIFEST_NAME
from echoes_rt.io.image import RgbArray
from echoes_training.evaluate.cogeneration import cogeneration_scores
from echoes_training.evaluate.dials import NEED_PICTURE_JUDGE, SOUND_PARTS
from echoes_training.evaluate.diversity import diversity_scores
from echoes_training.evaluate.evaluation import Evaluation, batches
from echoes_training.evaluate.inpainting import inpainting_scores
from echoes_training.evaluate.ranking import ranking_scores
from echoes_training.evaluate.scores import (
    Heard,
    Scores,
    accuracy,
    codebook_use,
    frechet_scores,
    loudness_scores,
)
from echoes_training.evaluate.seams import seam_scores
from echoes_training.evaluate.unknown import unknown_scores

LIBRARIES = ("numpy", "torch", "onnxruntime", "soundfile", "soxr")

TASKS: dict[str, Callable[[Evaluation], Scores]] = {
    "unknown": unknown_scores,
    "cogenerated": cogeneration_scores,
    "inpainted": inpainting_scores,
    "diversity": diversity_scores,
    "ranked": ranking_scores,
    "seams": seam_scores,
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
    sounds, labels = evaluation.heldout_sounds, evaluation.labels
    numbers = evaluation.numbers(sounds)
    real = evaluation.hear("real", evaluation.real_sounds(sounds), numbers)
    report["real"] = real.scores(labels)
    others = {
        "real_train": (
            evaluation.numbers(evaluation.taught_sounds),
            evaluation.judge.model.taught.double().numpy(),
        )
    }
    for name in (part for part in SOUND_PARTS if part in evaluation.config.parts):
        heard = _hear_part(evaluation, name)
        scores = heard.scores(labels)
        report[name] = scores
        others[name] = (heard.numbers, heard.embeddings)
        if name == "generated":
            scores["n_pictures"] = len({job.clip for job in evaluation.picture_jobs()})
            scores["sounds"] = _sounds(evaluation, heard)
            report["loudness"] = loudness_scores(real, heard, labels)
    report["frechet"] = frechet_scores(real, others)


def _hear_part(evaluation: Evaluation, name: str) -> Heard:
    if name == "generated":
        jobs = evaluation.picture_jobs()
        numbers = evaluation.numbers([job.clip for job in jobs])
        return evaluation.hear(name, evaluation.made_sounds(jobs), numbers)
    sounds = evaluation.heldout_sounds
    through = evaluation.through_vocoder if name == "vocoder" else evaluation.through_codec
    return evaluation.hear(name, through(sounds), evaluation.numbers(sounds))


def _judge_pictures(evaluation: Evaluation, report: Scores) -> None:
    pictures, labels = evaluation.heldout_pictures, evaluation.labels
    numbers = evaluation.numbers(pictures)
    seen = evaluation.see("real pictures", evaluation.real_pictures(pictures), len(pictures))
    report["real_pictures"] = accuracy(numbers, seen, labels)
    if "image_codec" in evaluation.config.parts:
        errors: list[tuple[float, float]] = []
        seen = evaluation.see("image_codec", _through_codec(evaluation, errors), len(pictures))
        report["image_codec"] = accuracy(numbers, seen, labels) | _pixel_errors(errors)
    if "pictures" in evaluation.config.parts:
        jobs = evaluation.sound_jobs()
        seen = evaluation.see("pictures", evaluation.made_pictures(jobs), len(jobs))
        truth = evaluation.numbers([job.clip for job in jobs])
        n_sounds = len({job.clip for job in jobs})
        report["pictures"] = accuracy(truth, seen, labels) | {"n_sounds": n_sounds}


def _through_codec(evaluation: Evaluation, errors: list[tuple[float, float]]) -> Iterator[RgbArray]:
    """Held-out pictures through the codec; their errors are appended to ``errors``."""
    pictures = evaluation.heldout_pictures
    for part in batches(len(pictures), evaluation.config.batch_size):
        decoded = evaluation.echoes.decode_image(evaluation.image_codes(pictures[part]))
        real = next(evaluation.real_pictures(pictures[part])).astype(np.float64)
        of_codec = np.abs(real - decoded).mean(axis=(1, 2, 3))
        of_colour = np.abs(real - real.mean(axis=(1, 2), keepdims=True)).mean(axis=(1, 2, 3))
        errors += zip(of_codec.tolist(), of_colour.tolist(), strict=True)
        yield decoded


def _pixel_errors(errors: list[tuple[float, float]]) -> Scores:
    """What no classifier has a say in: mean absolute errors, of 255."""
    of_codec, of_colour = np.mean(errors, axis=0)
    return {
        "pixel_error": round(float(of_codec), 2),
        "pixel_error_of_mean_colour": round(float(of_colour), 2),
    }


def _sounds(evaluation: Evaluation, heard: Heard) -> list[Scores]:
    """What is needed to find any of the generated sounds again."""
    return [
        {
            "label": job.clip.label,
            "picture": "/".join(Path(job.clip.image or "").parts[-2:]),
            "seed": job.seed,
            "heard_as": evaluation.labels[heard.predicted[i]],
            "rms_dbfs": round(float(heard.levels.rms_dbfs[i]), 2),
            "peak_dbfs": round(float(heard.levels.peak_dbfs[i]), 2),
        }
        for i, job in enumerate(evaluation.picture_jobs())
    ]


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
    bundle = evaluation.echoes.bundle
    manifest = (bundle.folder / MANIFEST_NAME).read_bytes()
    return {
        "bundle": {
            "name": bundle.manifest.name,
            # The manifest holds the checksum of every other file.
            "manifest_sha256": hashlib.sha256(manifest).hexdigest(),
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
