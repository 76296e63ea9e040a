"""The results of an ablation: curves, and the same numbers as tables."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from echoes_training.evaluate.figures import save_figure
from echoes_training.evaluate.table import Rows, markdown

COLOURS = ("#2f6f9f", "#d9652b", "#4b8b3b", "#7b4fa3", "#444444")
STYLES = ("-", "--", ":", "-.")
FIELDS = {
    "guidance": "guidance_scale",
    "steps": "steps",
    "temperature": "temperature",
}
MEASURES = {"balanced": "share recognised, balanced", "apart": "mean distance between seeds"}

Curve = tuple[str, str, list[dict[str, Any]]]
"""Of one dial: the bundle's name, the schedule, and the cells in rising order."""


def draw_ablation(results: dict[str, Any], path: Path) -> None:
    """A column for each dial; beneath the accuracies how much the seeds of a picture differ."""
    dials = _dials(results)
    measures = [name for name in MEASURES if _is_measured(results, name)]
    size = (4.6 * len(dials), 3.6 * len(measures) + 0.5)
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(len(measures), len(dials), squeeze=False, sharey="row")
    for row, measure in zip(axes, measures, strict=True):
        for axis, dial in zip(row, dials, strict=True):
            _draw_curves(axis, results, dial, measure)
        row[0].set_ylabel(MEASURES[measure])
    settings = results["settings"]
    for axis in axes[0]:
        axis.axhline(1 / len(settings["labels"]), color="black", lw=0.8, ls=":")
        axis.set_ylim(bottom=0)
    for axis in axes[-1]:
        axis.legend(
            fontsize=7,
            frameon=False,
            loc="upper center",
            bbox_to_anchor=(0.5, -0.15),
            ncols=len(results["bundles"]),
        )
    figure.suptitle(
        f"sounds of {settings['pictures_per_label']} held-out pictures of each label,\n"
        f"{settings['seeds']} of each (dotted: chance)",
        fontsize=10,
    )
    save_figure(figure, path)


def ablation_tables(results: dict[str, Any]) -> list[str]:
    """One Markdown table for each dial: the share recognised, balanced over the labels."""
    lines: list[str] = []
    for dial in _dials(results):
        curves = [*_curves(results, dial)]
        values = sorted({_value(cell, dial) for *_, cells in curves for cell in cells})
        rows: Rows = [[FIELDS[dial].replace("_", " "), *(f"{value:g}" for value in values)]]
        for bundle, schedule, cells in curves:
            found = {_value(cell, dial): f"{cell['balanced']:.3f}" for cell in cells}
            title = f"{bundle}, {schedule}" if schedule else bundle
            rows.append([title, *(found.get(value, "-") for value in values)])
        lines += ["", *markdown(rows)]
    return lines[1:]


def _dials(results: dict[str, Any]) -> list[str]:
    turned = {c["dial"] for b in results["bundles"].values() for c in b["curves"].values()}
    return [dial for dial in FIELDS if dial in turned]


def _is_measured(results: dict[str, Any], measure: str) -> bool:
    bundles = results["bundles"].values()
    return any(cell[measure] is not None for b in bundles for cell in b["cells"].values())


def _curves(results: dict[str, Any], dial: str) -> Iterator[Curve]:
    for name, bundle in results["bundles"].items():
        for curve in bundle["curves"].values():
            if curve["dial"] == dial:
                cells = [bundle["cells"][key] for key in curve["cells"]]
                yield name, curve["schedule"], sorted(cells, key=lambda c: _value(c, dial))


def _value(cell: dict[str, Any], dial: str) -> float:
    return float(cell["sampling"][FIELDS[dial]])


def _draw_curves(axis: Axes, results: dict[str, Any], dial: str, measure: str) -> None:
    names = [*results["bundles"]]
    schedules: list[str] = []
    for bundle, schedule, cells in _curves(results, dial):
        if schedule not in schedules:
            schedules.append(schedule)
        axis.plot(
            [_value(cell, dial) for cell in cells],
            [cell[measure] for cell in cells],
            STYLES[schedules.index(schedule) % len(STYLES)],
            color=COLOURS[names.index(bundle) % len(COLOURS)],
            marker="o",
            markersize=3,
            label=", ".join(part for part in (bundle, schedule) if part),
        )
    axis.set_xlabel(FIELDS[dial].replace("_", " "))
