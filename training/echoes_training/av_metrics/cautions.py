"""Sentences about what may make a comparison unfair: the traps of published tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from echoes_training.av_metrics.divergence import SPLITS
from echoes_training.av_metrics.protocol import CLIP_S, PUBLISHED

if TYPE_CHECKING:
    from echoes_training.av_metrics.report import Comparison

SAME_LENGTH_S = 0.05

Lines = list[str]


def cautions(comparison: Comparison, report: dict[str, Any]) -> Lines:
    """Empty if nothing is known that speaks against comparing with published numbers."""
    return [
        *_pairs(comparison, report),
        *_lengths(comparison),
        *_silence(report),
        *_frechet(report),
        *_inception(report),
        *_embedders(report),
    ]


def _pairs(comparison: Comparison, report: dict[str, Any]) -> Lines:
    pairing, lines = comparison.to_reference, []
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


def _lengths(comparison: Comparison) -> Lines:
    lines = []
    if comparison.clip_s != CLIP_S:
        lines.append(
            f"clips are cut to {comparison.clip_s:g} s; av-benchmark's tables have {CLIP_S:g} s, "
            "SpecVQGAN's 10 s"
        )
    for name, side in (("generated", comparison.generated), ("reference", comparison.reference)):
        short = [s for s in side.sounds if s.duration_s < comparison.clip_s - SAME_LENGTH_S]
        if short:
            shortest = min(sound.duration_s for sound in short)
            lines.append(
                f"{len(short)} of {len(side.sounds)} {name} sounds are shorter than "
                f"{comparison.clip_s:g} s (shortest: {shortest:.2f} s); they are not padded"
            )
    return lines


def _silence(report: dict[str, Any]) -> Lines:
    return [
        f"{report['sets'][name]['n_silent']} {name} sounds are silent: silence scores well on "
        "PANNs, so listen before you trust a low distance"
        for name in ("generated", "reference")
        if report["sets"][name]["n_silent"]
    ]


def _frechet(report: dict[str, Any]) -> Lines:
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


def _inception(report: dict[str, Any]) -> Lines:
    lines = []
    for name, known in sorted(report["embedders"].items()):
        scores = report["inception"].get(name)
        if known["classes"] and scores is None:
            lines.append(f"no inception score of {name}: {SPLITS} or more sounds are needed")
        elif scores and (per_split := scores["n"] // SPLITS) < 2 * known["classes"]:
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
