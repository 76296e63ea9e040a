"""How well results are recognised as the dials are turned, cell by cell, and resumable."""

import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from tqdm import tqdm

from echoes_rt.errors import InputError
from echoes_rt.format.manifest import MANIFEST_NAME
from echoes_rt.format.sampling import Sampling
from echoes_rt.options import options_of
from echoes_training.evaluate.dials import SWEPT, write_json
from echoes_training.evaluate.diversity import mean_pairwise
from echoes_training.evaluate.evaluation import Evaluation, Job
from echoes_training.evaluate.frechet import (
    Gaussian,
    fit_gaussian,
    frechet_distance,
    label_weights,
)
from echoes_training.evaluate.scores import Heard, accuracy, spread
from echoes_training.evaluate.table import Rows, markdown

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

    def schedules(self) -> dict[str, tuple[str, tuple[float, float]]]:
        """Name, schedule and interval."""
        return {
            "constant": ("constant", FULL),
            "annealed": ("annealed", FULL),
            **{f"steps {a:g} to {b:g}": ("constant", (a, b)) for a, b in self.intervals},
        }

    def lines(
        self, defaults: Sampling, names: Sequence[str]
    ) -> dict[tuple[str, str], list[Sampling]]:
        """The points of each curve, by the dial and, for guidance, the schedule."""
        curves: dict[tuple[str, str], list[Sampling]] = {}
        for name in names:
            if name == "guidance":
                for title, (schedule, interval) in self.schedules().items():
                    curves[name, title] = [
                        _guided(defaults, scale, schedule, interval) for scale in self.guidance
                    ]
            else:
                curves[name, ""] = [
                    dataclasses.replace(defaults, **{name: value}) for value in getattr(self, name)
                ]
        return curves


def _guided(
    defaults: Sampling, scale: float, schedule: str, interval: tuple[float, float]
) -> Sampling:
    if scale == 1:  # no guidance, whatever its schedule: one cell serves all
        schedule, interval = "constant", FULL
    return dataclasses.replace(
        defaults,
        guidance_scale=scale,
        guidance_schedule=schedule,
        guidance_interval=interval,
    )


def key_of(sampling: Sampling) -> str:
    """The name of a cell."""
    values = dataclasses.asdict(sampling)
    start, stop = values.pop("guidance_interval")
    schedule = values.pop("guidance_schedule")
    del values["guidance"]  # the same in all cells
    numbers = " ".join(f"{name}={value:g}" for name, value in values.items())
    return f"{numbers} {schedule} {start:g}-{stop:g}"


@dataclass(frozen=True, kw_only=True)
class References:
    """What a cell's sounds are compared with: real ones of the split, and the first bundle's.

    The latter have seeds of their own, so that the distance of the first bundle's own cell is what
    two sets by one model have by chance.
    """

    real: Gaussian
    first: Gaussian


def references_of(first: Evaluation) -> References:
    """Made anew by every command that has a cell to measure."""
    sounds = first.heldout_sounds
    real = first.hear("real", first.real_sounds(sounds), first.numbers(sounds))
    jobs = first.picture_jobs()
    others = [dataclasses.replace(job, seed=job.seed + len(jobs)) for job in jobs]
    return References(real=_gaussian(real), first=_gaussian(_hear(first, others, first.sampling)))


class Ablation:
    """Results in a .json file, which is written after every cell and goes on where it ended."""

    def __init__(self, path: Path, settings: Results, references: Callable[[], References]) -> None:
        self.path = path
        self.references = references
        self.results: Results = {"settings": settings, "bundles": {}}
        if path.exists():
            self.results = _read(path)
            if self.results.get("settings") != json.loads(json.dumps(settings)):
                raise InputError(
                    f"{path} holds results of other settings or media; give another --out"
                )

    def run(self, name: str, evaluation: Evaluation, sweeps: Sweeps, dials: Sequence[str]) -> None:
        """Fills in what is missing of a bundle; what is there is taken as it is."""
        try:
            curves = sweeps.lines(evaluation.sampling, dials)
        except ValueError as error:
            raise InputError(str(error)) from error
        bundle = self._bundle(name, evaluation)
        wanted = {key_of(point): point for points in curves.values() for point in points}
        missing = {key: point for key, point in wanted.items() if key not in bundle["cells"]}
        for key, point in tqdm(missing.items(), desc=name, unit="cell"):
            bundle["cells"][key] = measure(evaluation, point, self.references())
            write_json(self.path, self.results)
        for (dial, title), points in curves.items():
            line = {"dial": dial, "schedule": title, "cells": [key_of(point) for point in points]}
            bundle["curves"][f"{dial} {title}".strip()] = line
        write_json(self.path, self.results)

    def _bundle(self, name: str, evaluation: Evaluation) -> Results:
        manifest = (evaluation.echoes.bundle.folder / MANIFEST_NAME).read_bytes()
        digest = hashlib.sha256(manifest).hexdigest()
        fresh = {"manifest_sha256": digest, "cells": {}, "curves": {}}
        bundle = self.results["bundles"].setdefault(name, fresh)
        if bundle["manifest_sha256"] != digest:
            raise InputError(
                f"{self.path} holds results of another bundle by the name {name}; "
                "give another name or another --out"
            )
        return cast(Results, bundle)


def measure(evaluation: Evaluation, sampling: Sampling, references: References) -> Results:
    """One cell: sounds of pictures; between seeds also how much they differ."""
    heard = _hear(evaluation, evaluation.picture_jobs(), sampling)
    mine = _gaussian(heard)
    ear = heard.by_ear
    scores = accuracy(heard.numbers, heard.predicted, evaluation.labels)
    n_seeds = evaluation.config.n_seeds
    return {
        "sampling": dataclasses.asdict(sampling),
        **{name: scores[name] for name in ("n", "overall", "balanced")},
        "effective_labels": spread(heard.predicted, evaluation.labels)["effective"],
        "ear_exact": None if ear is None else round(ear.exact, 4),
        "ear_coarse": None if ear is None else round(ear.coarse, 4),
        "frechet_real": float(f"{frechet_distance(mine, references.real):.4g}"),
        "frechet_first": float(f"{frechet_distance(mine, references.first):.4g}"),
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


def _read(path: Path) -> Results:
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {path}: {error}; give another --out") from error
    if not isinstance(results, dict) or "bundles" not in results:
        raise InputError(f"{path} is no ablation; give another --out")
    return results


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
