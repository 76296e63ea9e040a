"""How well results are recognised as the dials are turned, cell by cell, and resumable."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from echoes_rt.errors import InputError
from echoes_rt.format.sampling import Sampling
from echoes_rt.options import options_of
from echoes_training.evaluate.dials import SWEPT, write_json
from echoes_training.evaluate.evaluation import Evaluation, Job
from echoes_training.evaluate.frechet import (
    Gaussian,
    fit_gaussian,
    frechet_distance,
    label_weights,
)
from echoes_training.evaluate.media import fingerprint
from echoes_training.evaluate.scores import Heard, accuracy, spread
from echoes_training.evaluate.table import Rows, markdown
from echoes_training.evaluate.tasks import mean_pairwise

Results = dict[str, Any]

FULL = (0.0, 1.0)


@dataclass(frozen=True, kw_only=True)
class Sweeps:
    """The values of each dial; while one is turned, the others stay at the defaults.

    Guidance scales are tried with each schedule: constant, annealed, and constant within each of
    the ``intervals`` alone.
    """

    guidance: tuple[float, ...] = (0, 1, 2, 3, 4, 5, 6, 8)
    intervals: tuple[tuple[float, float], ...] = ((0.0, 0.5), (0.5, 1.0))
    steps: tuple[int, ...] = (4, 6, 8, 12, 16, 24)
    temperature: tuple[float, ...] = (0.6, 0.8, 1.0, 1.2)

    def lines(
        self, defaults: Sampling, names: Sequence[str]
    ) -> dict[tuple[str, str], list[Sampling]]:
        """The points of each curve, by the dial and, for guidance, the schedule."""
        curves: dict[tuple[str, str], list[Sampling]] = {
            (name, ""): [replace(defaults, **{name: value}) for value in getattr(self, name)]
            for name in names
            if name != "guidance"
        }
        schedules = {"constant": ("constant", FULL), "annealed": ("annealed", FULL)}
        schedules |= {f"steps {a:g} to {b:g}": ("constant", (a, b)) for a, b in self.intervals}
        for title, (schedule, interval) in schedules.items() if "guidance" in names else ():
            curves["guidance", title] = [
                replace(
                    defaults,
                    guidance_scale=scale,
                    # At 1 there is none, whatever its schedule: one cell serves all.
                    guidance_schedule=schedule if scale != 1 else "constant",
                    guidance_interval=interval if scale != 1 else FULL,
                )
                for scale in self.guidance
            ]
        return curves


def key_of(sampling: Sampling) -> str:
    """The name of a cell."""
    values = asdict(sampling)
    start, stop = values.pop("guidance_interval")
    schedule = values.pop("guidance_schedule")
    del values["guidance"]  # the same in all cells
    numbers = " ".join(f"{name}={value:g}" for name, value in values.items())
    return f"{numbers} {schedule} {start:g}-{stop:g}"


def references_of(first: Evaluation) -> dict[str, Gaussian]:
    """What a cell's sounds are compared with: real ones of the split, and the first bundle's.

    The latter have seeds of their own, so that the distance of the first bundle's own cell is what
    two sets by one model have by chance.
    """
    sounds = first.heldout_sounds
    real = first.hear("real", first.real_sounds(sounds), first.numbers(sounds))
    jobs = first.picture_jobs
    others = [replace(job, seed=job.seed + len(jobs)) for job in jobs]
    made = _hear(first, others, first.sampling)
    return {"frechet_real": _gaussian(real), "frechet_first": _gaussian(made)}


def ablate(
    path: Path,
    evaluations: dict[str, Evaluation],
    sweeps: Sweeps,
    dials: Sequence[str],
    precision: str,
) -> Results:
    """Fills in what is missing of each bundle in the .json file ``path``, cell by cell.

    Args:
        path: is written after every cell.
        evaluations: of bundles by their names; all are compared with the first.
        sweeps: what each dial is turned to.
        dials: which of ``SWEPT`` are turned.
        precision: of the runtime.

    Raises:
        InputError: if the file holds something else, or a value is out of range.
    """
    name_of_first, first = next(iter(evaluations.items()))
    try:
        curves = {name: sweeps.lines(e.sampling, dials) for name, e in evaluations.items()}
    except ValueError as error:
        raise InputError(str(error)) from error
    config = first.config
    settings = {
        "pictures": fingerprint(first.some_pictures(config.pictures_per_label), "image"),
        "sounds": fingerprint(first.taught_sounds, "audio"),
        "classifier": asdict(config.classifier),
        "pictures_per_label": config.pictures_per_label,
        "seeds": config.n_seeds,
        "seed": config.seed,
        "labels": list(first.labels),
        "split": config.split,
        "ear": first.ear is not None,
        "precision": precision,
        "first": f"{name_of_first}: {key_of(first.sampling)}",
    }
    results = _read(path, settings)
    references = cache(lambda: references_of(first))  # made anew if there is a cell to measure
    for name, evaluation in evaluations.items():
        digest = evaluation.manifest_sha256
        fresh = {"manifest_sha256": digest, "cells": {}, "curves": {}}
        bundle = results["bundles"].setdefault(name, fresh)
        if bundle["manifest_sha256"] != digest:
            raise InputError(
                f"{path} holds results of another bundle by the name {name}; "
                "give another name or another --out"
            )
        wanted = {key_of(point): point for points in curves[name].values() for point in points}
        missing = {key: point for key, point in wanted.items() if key not in bundle["cells"]}
        for key, point in tqdm(missing.items(), desc=name, unit="cell"):
            bundle["cells"][key] = measure(evaluation, point, references())
            write_json(path, results)
        for (dial, title), points in curves[name].items():
            line = {"dial": dial, "schedule": title, "cells": [key_of(point) for point in points]}
            bundle["curves"][f"{dial} {title}".strip()] = line
        write_json(path, results)
    return results


def _read(path: Path, settings: Results) -> Results:
    if not path.exists():
        return {"settings": settings, "bundles": {}}
    try:
        results: Results = json.loads(path.read_text(encoding="utf-8"))
        found = results["settings"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is no ablation: {error!r}; give another --out") from error
    if found != json.loads(json.dumps(settings)):
        raise InputError(f"{path} holds results of other settings or media; give another --out")
    return results


def measure(evaluation: Evaluation, sampling: Sampling, references: dict[str, Gaussian]) -> Results:
    """One cell: sounds of pictures; between seeds also how much they differ."""
    heard = _hear(evaluation, evaluation.picture_jobs, sampling)
    mine = _gaussian(heard)
    ear = heard.by_ear
    scores = accuracy(heard.numbers, heard.predicted, evaluation.labels)
    n_seeds = evaluation.config.n_seeds
    return {
        "sampling": asdict(sampling),
        **{name: scores[name] for name in ("n", "overall", "balanced")},
        "effective_labels": spread(heard.predicted, evaluation.labels)["effective"],
        "ear_exact": None if ear is None else round(ear.exact, 4),
        "ear_coarse": None if ear is None else round(ear.coarse, 4),
        **{
            name: float(f"{frechet_distance(mine, other):.4g}")
            for name, other in references.items()
        },
        "apart": round(_apart(heard.embeddings, n_seeds), 3) if n_seeds > 1 else None,
    }


def _hear(evaluation: Evaluation, jobs: Sequence[Job], sampling: Sampling) -> Heard:
    made = evaluation.made_sounds(jobs, options_of(sampling))
    return evaluation.hear("sounds", made, evaluation.numbers([job.clip for job in jobs]))


def _gaussian(heard: Heard) -> Gaussian:
    """In which every label counts the same."""
    return fit_gaussian(heard.embeddings, label_weights(heard.numbers))


def _apart(embeddings: np.ndarray, n_seeds: int) -> float:
    groups = embeddings.reshape(-1, n_seeds, embeddings.shape[1])
    return float(np.mean([mean_pairwise(group, 2) for group in groups]))


MEASURES = {
    "balanced": "recognised, balanced",
    "ear_exact": "heard by the ear",
    "ear_coarse": "family heard by the ear",
    "frechet_real": "Frechet distance to real sounds",
    "frechet_first": "Frechet distance to the first bundle's",
    "apart": "distance between seeds",
}


def ablation_tables(results: Results) -> list[str]:
    """Markdown: of each dial a table of every measure that was taken.

    The variety of several seeds is the mean distance between the sounds of one picture.
    """
    turned = {c["dial"] for b in results["bundles"].values() for c in b["curves"].values()}
    lines: list[str] = []
    for dial in (dial for dial in SWEPT if dial in turned):
        curves = [*_curves(results, dial)]
        values = sorted({value for _, cells in curves for value in cells})
        for measure, title in MEASURES.items():
            head = f"{SWEPT[dial].replace('_', ' ')}: {title}"
            rows: Rows = [[head, *(f"{value:g}" for value in values)]]
            for name, cells in curves:
                found = {v: cell[measure] for v, cell in cells.items() if cell[measure] is not None}
                shown = (f"{found[value]:.3f}" if value in found else "-" for value in values)
                rows.append([name, *shown])
            if any(cell != "-" for row in rows[1:] for cell in row[1:]):
                lines += ["", *markdown(rows)]
    return lines[1:]


def _curves(results: Results, dial: str) -> Iterator[tuple[str, dict[float, Results]]]:
    """Of one dial: what a curve is of, and its cells by the dial's value."""
    for bundle, found in results["bundles"].items():
        for curve in found["curves"].values():
            if curve["dial"] == dial:
                cells = [found["cells"][key] for key in curve["cells"]]
                title = ", ".join(part for part in (bundle, curve["schedule"]) if part)
                yield title, {float(c["sampling"][SWEPT[dial]]): c for c in cells}
