"""All numbers of a comparison, ready for JSON, and what may make it unfair."""

import re
from typing import Any

import numpy as np

from echoes_rt.errors import InputError
from echoes_training.av_metrics import divergence
from echoes_training.av_metrics.features import Array, Features
from echoes_training.av_metrics.pairing import Pairing, pair_names
from echoes_training.av_metrics.protocol import CLIP_S, DEFINITIONS, PUBLISHED, SCORE_NAMES
from echoes_training.av_metrics.sets import MediaSet
from echoes_training.evaluate.frechet import fit_gaussian, frechet_distance
from echoes_training.evaluate.scores import Scores

SAME_LENGTH_S = 0.05

Lines = list[str]


def make_report(
    made: MediaSet,
    real: MediaSet,
    seen: MediaSet | None,
    clip_s: float,
    pattern: re.Pattern[str] | None = None,
) -> Scores:
    """All numbers of a comparison.

    Args:
        made: the generated sounds.
        real: the reference.
        seen: pictures that the sounds were made from; None if none are given.
        clip_s: seconds of each sound that were looked at.
        pattern: which files belong together, for ``pair_names``.

    Raises:
        InputError: if nothing can be compared, or features of one name do not fit.
    """
    generated, reference = made.features, real.features
    pictures = seen.features if seen else {}
    pairing = pair_names(made.names, real.names, pattern)
    to_pictures = pair_names(made.names, seen.names if seen else [], pattern)
    common = {
        name: (generated[name], reference[name]) for name in sorted(generated) if name in reference
    }
    for name, sides in common.items():
        _check_comparable(name, *sides)
    numbers: dict[str, dict[str, Scores | None]] = {
        "frechet": {
            name: _frechet(name, a, b)
            for name, (a, b) in common.items()
            if a.embeddings and b.embeddings
        },
        "kl": {name: _kl(a, b, pairing) for name, (a, b) in common.items()},
        "inception": {name: _inception(generated[name]) for name in sorted(generated)},
        "score": {
            name: _score(name, generated[name], pictures[name], to_pictures)
            for name in sorted(generated)
            if name in pictures
        },
    }
    found = {
        kind: {name: scores for name, scores in some.items() if scores is not None}
        for kind, some in numbers.items()
    }
    if not any(found.values()):
        raise InputError(
            f"nothing can be compared: {made.folder} has features of {', '.join(generated)}, "
            f"{real.folder} of {', '.join(reference)}"
        )
    report: Scores = {
        "protocol": {"clip_s": clip_s, **DEFINITIONS},
        "sets": {"generated": _set(made), "reference": _set(real)},
        "pairing": {
            "n_pairs": len(pairing.pairs),
            "without_reference": pairing.without_reference,
            "without_generated": pairing.without_generated,
        },
        "embedders": {
            name: _embedder(name, features, reference.get(name))
            for name, features in generated.items()
        },
        **found,
    }
    return report | {"cautions": cautions(made, real, pairing, report)}


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
    return {
        "folder": str(side.folder),
        "n": len(side.names),
        "n_sound_files": len(side.sounds),
        "n_silent": sum(sound.is_silent for sound in side.sounds),
        "sample_rates": sorted({sound.sample_rate for sound in side.sounds}),
        "duration_s": {
            "min": round(min(durations), 3),
            "median": round(float(np.median(durations)), 3),
            "max": round(max(durations), 3),
        }
        if durations
        else None,
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


def _frechet(name: str, made: Features, real: Features) -> Scores:
    rows, reference_rows = (np.concatenate([*side.embeddings.values()]) for side in (made, real))
    if min(len(rows), len(reference_rows)) < 2:
        raise InputError(f"a Frechet distance of {name} needs 2 or more embeddings in both sets")
    return {
        "value": frechet_distance(fit_gaussian(reference_rows), fit_gaussian(rows)),
        "n_generated": len(made.embeddings),
        "n_reference": len(real.embeddings),
        "rows_generated": len(rows),
        "rows_reference": len(reference_rows),
        "dimensions": rows.shape[1],
    }


def _kl(made: Features, real: Features, pairing: Pairing) -> Scores | None:
    pairs = [(a, b) for a, b in pairing.pairs if a in made.logits and b in real.logits]
    if not pairs:
        return None
    p: Array = np.stack([real.logits[b] for _, b in pairs])
    q: Array = np.stack([made.logits[a] for a, _ in pairs])
    return {
        "softmax": divergence.kl_softmax(p, q),
        "sigmoid": divergence.kl_sigmoid(p, q),
        "specvqgan": divergence.kl_specvqgan(p, q),
        "n_pairs": len(pairs),
        "classes": p.shape[1],
    }


def _inception(made: Features) -> Scores | None:
    n = len(made.logits)
    if n < divergence.SPLITS:
        return None
    mean, deviation = divergence.inception_score(np.stack([*made.logits.values()]))
    return {"mean": mean, "std": deviation, "n": n, "splits": divergence.SPLITS}


def _score(name: str, sounds: Features, pictures: Features, pairing: Pairing) -> Scores | None:
    if sounds.embeddings and sounds.dimensions != pictures.dimensions:
        raise InputError(
            f"the {name} embeddings of sounds have {sounds.dimensions} dimensions, those of "
            f"pictures {pictures.dimensions}; a cosine needs one space"
        )
    pairs = [
        (a, b) for a, b in pairing.pairs if a in sounds.embeddings and b in pictures.embeddings
    ]
    if not pairs:
        return None
    cosine = divergence.mean_cosine(sounds, pictures, pairs)
    return {
        "called": SCORE_NAMES.get(name, f"{name} score"),
        "cosine": cosine,
        "times_100": 100 * cosine,
        "n_pairs": len(pairs),
    }


def cautions(made: MediaSet, real: MediaSet, pairing: Pairing, report: dict[str, Any]) -> Lines:
    """The traps of published tables, empty if nothing is known that speaks against comparing."""
    return [
        *_pairs(pairing, report),
        *_lengths(made, real, report["protocol"]["clip_s"]),
        *_silence(report),
        *_rows(report),
        *_splits(report),
        *_embedders(report),
    ]


def _pairs(pairing: Pairing, report: dict[str, Any]) -> Lines:
    lines = []
    generated, reference = (report["sets"][name]["n"] for name in ("generated", "reference"))
    if generated != reference:
        lines.append(
            f"the sets differ in size: {generated} generated, {reference} reference files; "
            "published tables have one generated sound for each reference"
        )
    if alone := [*pairing.without_reference, *pairing.without_generated]:
        lines.append(
            f"{len(pairing.without_reference)} generated and {len(pairing.without_generated)} "
            f"reference files have no partner of their name (first: {alone[0]}); they are in "
            "Frechet distances and IS, not in KL"
        )
    if pairing.is_repeated:
        lines.append(
            "there are several generated sounds for one reference: SpecVQGAN's tables have 10, "
            "av-benchmark's 1"
        )
    return lines


def _lengths(made: MediaSet, real: MediaSet, clip_s: float) -> Lines:
    lines = []
    if clip_s != CLIP_S:
        lines.append(
            f"clips are cut to {clip_s:g} s; av-benchmark's tables have {CLIP_S:g} s, "
            "SpecVQGAN's 10 s"
        )
    for name, side in (("generated", made), ("reference", real)):
        short = [s for s in side.sounds if s.duration_s < clip_s - SAME_LENGTH_S]
        if short:
            shortest = min(sound.duration_s for sound in short)
            lines.append(
                f"{len(short)} of {len(side.sounds)} {name} sounds are shorter than "
                f"{clip_s:g} s (shortest: {shortest:.2f} s); they are not padded"
            )
    return lines


def _silence(report: dict[str, Any]) -> Lines:
    return [
        f"{report['sets'][name]['n_silent']} {name} sounds are silent: silence scores well on "
        "PANNs, so listen before you trust a low distance"
        for name in ("generated", "reference")
        if report["sets"][name]["n_silent"]
    ]


def _rows(report: dict[str, Any]) -> Lines:
    lines = []
    for name, scores in report["frechet"].items():
        rows = min(scores["rows_generated"], scores["rows_reference"])
        if rows <= scores["dimensions"]:
            lines.append(
                f"the {name} distance has {rows} rows for {scores['dimensions']} dimensions: a "
                "covariance is singular and the distance far too large; compare at equal N only"
            )
        elif rows < 10 * scores["dimensions"]:
            lines.append(
                f"the {name} distance has {rows} rows for {scores['dimensions']} dimensions: it "
                "shrinks as N grows; compare at equal N"
            )
    return lines


def _splits(report: dict[str, Any]) -> Lines:
    lines = []
    for name, known in sorted(report["embedders"].items()):
        scores = report["inception"].get(name)
        if known["classes"] and scores is None:
            lines.append(
                f"no inception score of {name}: {divergence.SPLITS} or more sounds are needed"
            )
        elif scores and (per_split := scores["n"] // divergence.SPLITS) < 2 * known["classes"]:
            lines.append(
                f"the inception score of {name} has {per_split} sounds a split and cannot exceed "
                "that number; it grows with N"
            )
    return lines


def _embedders(report: dict[str, Any]) -> Lines:
    lines = []
    for name, found in sorted(report["embedders"].items()):
        known = PUBLISHED.get(name)
        if known is None:
            lines.append(
                f"nothing is published under the name {name}: compare it with your own numbers only"
            )
            continue
        if found["dimensions"] not in (0, known.dimensions):
            lines.append(
                f"{name} embeddings have {found['dimensions']} dimensions, the published ones "
                f"{known.dimensions}: this is another network"
            )
        if not found["generated"]:
            lines.append(
                f"the {name} features come from a file that does not say how they were made: clip "
                "length, sample rate and resampler are yours to state"
            )
    return lines
