"""All numbers of a comparison, ready for JSON."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from echoes_rt.errors import InputError
from echoes_training.av_metrics.cautions import cautions
from echoes_training.av_metrics.divergence import (
    SPLITS,
    inception_score,
    kl_sigmoid,
    kl_softmax,
    kl_specvqgan,
    mean_cosine,
)
from echoes_training.av_metrics.features import Features
from echoes_training.av_metrics.pairing import Pairing
from echoes_training.av_metrics.protocol import DEFINITIONS, PUBLISHED, SCORE_NAMES
from echoes_training.av_metrics.sets import MediaSet
from echoes_training.evaluate.frechet import (
    FEWEST,
    extrapolate,
    fit_gaussian,
    frechet_distance,
)
from echoes_training.evaluate.scores import Scores


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What is compared.

    Attributes:
        pictures: that the sounds were made from; None if none are given.
        to_reference: which generated sound belongs to which one of the reference.
        to_pictures: which generated sound belongs to which picture.
        extrapolates: whether Frechet distances are also given for an endless set.
    """

    generated: MediaSet
    reference: MediaSet
    pictures: MediaSet | None
    to_reference: Pairing
    to_pictures: Pairing
    clip_s: float
    extrapolates: bool


def make_report(comparison: Comparison) -> Scores:
    """Raises InputError if nothing can be compared, or features of one name do not fit."""
    generated, reference = comparison.generated.features, comparison.reference.features
    common = [name for name in sorted(generated) if name in reference]
    for name in common:
        _check_comparable(name, generated[name], reference[name])
    report: Scores = {
        "protocol": {"clip_s": comparison.clip_s, **DEFINITIONS},
        "sets": {
            "generated": _set(comparison.generated),
            "reference": _set(comparison.reference),
        },
        "pairing": _pairing(comparison.to_reference),
        "embedders": {
            name: _embedder(name, generated[name], reference.get(name)) for name in generated
        },
        "frechet": {name: _frechet(comparison, name) for name in common if _both(comparison, name)},
        "kl": _kls(comparison, common),
        "inception": _inceptions(comparison),
        "score": _scores(comparison),
    }
    if not any(report[kind] for kind in ("frechet", "kl", "inception", "score")):
        raise InputError(
            f"nothing can be compared: {comparison.generated.folder} has features of "
            f"{', '.join(generated)}, {comparison.reference.folder} of {', '.join(reference)}"
        )
    return report | {"cautions": cautions(comparison, report)}


def _both(comparison: Comparison, name: str) -> bool:
    sides = (comparison.generated, comparison.reference)
    return all(side.features[name].embeddings for side in sides)


def _check_comparable(name: str, a: Features, b: Features) -> None:
    for key in ("model_sha256", "sample_rate", "n_samples", "clip_s"):
        values = (a.origin.get(key), b.origin.get(key))
        if None not in values and values[0] != values[1]:
            raise InputError(
                f"the {name} features of the two sets were made differently: {key} is "
                f"{values[0]} and {values[1]}"
            )
    for what, sizes in (
        ("dimensions", (a.dimensions, b.dimensions)),
        ("classes", (a.n_classes, b.n_classes)),
    ):
        if all(sizes) and sizes[0] != sizes[1]:
            raise InputError(
                f"the {name} features of the two sets do not fit: {sizes[0]} {what} and {sizes[1]}"
            )


def _set(side: MediaSet) -> Scores:
    durations = [sound.duration_s for sound in side.sounds]
    rates = sorted({sound.sample_rate for sound in side.sounds})
    return {
        "folder": str(side.folder),
        "n": len(side.names),
        "n_sound_files": len(side.sounds),
        "n_silent": sum(sound.is_silent for sound in side.sounds),
        "sample_rates": rates,
        "duration_s": {
            "min": round(min(durations), 3),
            "median": round(float(np.median(durations)), 3),
            "max": round(max(durations), 3),
        }
        if durations
        else None,
    }


def _pairing(pairing: Pairing) -> Scores:
    return {
        "n_pairs": len(pairing.pairs),
        "without_reference": pairing.without_reference,
        "without_generated": pairing.without_generated,
    }


def _embedder(name: str, generated: Features, reference: Features | None) -> Scores:
    known = PUBLISHED.get(name)
    return {
        "published_as": known.what if known else None,
        "dimensions": generated.dimensions,
        "classes": generated.n_classes,
        "generated": dict(generated.origin),
        "reference": None if reference is None else dict(reference.origin),
    }


def _frechet(comparison: Comparison, name: str) -> Scores:
    made, real = comparison.generated.features[name], comparison.reference.features[name]
    rows, reference_rows = made.rows(made.embeddings), real.rows(real.embeddings)
    if min(len(rows), len(reference_rows)) < 2:
        raise InputError(f"a Frechet distance of {name} needs 2 or more embeddings in both sets")
    fitted = fit_gaussian(reference_rows)
    scores: Scores = {
        "value": frechet_distance(fitted, fit_gaussian(rows)),
        "n_generated": len(made.embeddings),
        "n_reference": len(real.embeddings),
        "rows_generated": len(rows),
        "rows_reference": len(reference_rows),
        "dimensions": rows.shape[1],
    }
    if comparison.extrapolates and len(rows) >= FEWEST:
        endless = extrapolate(fitted, rows, seed=0)
        scores["extrapolated"] = {"value": endless.value, "r2": endless.r2}
    return scores


def _kls(comparison: Comparison, common: Sequence[str]) -> Scores:
    scores: Scores = {}
    for name in common:
        generated = comparison.generated.features[name].logits
        reference = comparison.reference.features[name].logits
        pairs = [
            (a, b) for a, b in comparison.to_reference.pairs if a in generated and b in reference
        ]
        if not pairs:
            continue
        p = comparison.reference.features[name].scores(b for _, b in pairs)
        q = comparison.generated.features[name].scores(a for a, _ in pairs)
        scores[name] = {
            "softmax": kl_softmax(p, q),
            "sigmoid": kl_sigmoid(p, q),
            "specvqgan": kl_specvqgan(p, q),
            "n_pairs": len(pairs),
            "classes": p.shape[1],
        }
    return scores


def _inceptions(comparison: Comparison) -> Scores:
    scores: Scores = {}
    for name, features in sorted(comparison.generated.features.items()):
        if len(features.logits) >= SPLITS:
            mean, deviation = inception_score(features.scores(features.logits))
            n = len(features.logits)
            scores[name] = {"mean": mean, "std": deviation, "n": n, "splits": SPLITS}
    return scores


def _scores(comparison: Comparison) -> Scores:
    if comparison.pictures is None:
        return {}
    scores: Scores = {}
    for name, sounds in sorted(comparison.generated.features.items()):
        pictures = comparison.pictures.features.get(name)
        if pictures is None or not sounds.embeddings:
            continue
        if sounds.dimensions != pictures.dimensions:
            raise InputError(
                f"the {name} embeddings of sounds have {sounds.dimensions} dimensions, those of "
                f"pictures {pictures.dimensions}; a cosine needs one space"
            )
        pairs = [
            (a, b)
            for a, b in comparison.to_pictures.pairs
            if a in sounds.embeddings and b in pictures.embeddings
        ]
        if pairs:
            cosine = mean_cosine(sounds, pictures, pairs)
            scores[name] = {
                "called": SCORE_NAMES.get(name, f"{name} score"),
                "cosine": cosine,
                "times_100": 100 * cosine,
                "n_pairs": len(pairs),
            }
    return scores
