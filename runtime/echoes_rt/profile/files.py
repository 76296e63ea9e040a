"""Profiles as files: a chart, a table for a spreadsheet, a trace for Perfetto."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from echoes_rt.errors import InputError
from echoes_rt.io.output_file import check_suffix, written
from echoes_rt.profile.report import Profile
from echoes_rt.profile.stages import TOTAL
from echoes_rt.profile.sweep import Point
from echoes_rt.profile.work import Generation

SUFFIXES = (".png", ".svg", ".pdf")
COLUMNS = ("subject", "stage", "p50_ms", "p95_ms", "min_ms", "gflop")

_STAGES, _STEPS, _NODES = 1, 2, 3


def write_csv(path: Path, profiles: Sequence[Profile]) -> None:
    """A row for each stage of each subject; raises InputError if the file cannot be written."""
    with written(path) as partial, partial.open("w", encoding="utf-8") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(COLUMNS)
        for profile in profiles:
            for stage, times in profile.stages.items():
                figures = (times.p50, times.p95, times.min, profile.flop[stage] / 1e9)
                rows.writerow([profile.subject.label, stage, *(f"{x:.6g}" for x in figures)])


def trace_events(generation: Generation, process: str) -> list[dict[str, object]]:
    """Complete events ("X") in microseconds since the generation began, and names of the rows."""
    start = min(span.start_ns for span in generation.spans)

    def event(name: str, row: int, start_ns: int, ns: int, **args: object) -> dict[str, object]:
        times = {"ts": (start_ns - start) / 1000, "dur": ns / 1000}
        return {"name": name, "ph": "X", "pid": 1, "tid": row, **times, "args": args}

    rows = {_STAGES: "stages", _STEPS: "steps", _NODES: "nodes"}
    events: list[dict[str, object]] = [
        {"name": "process_name", "ph": "M", "pid": 1, "args": {"name": process}},
        *(
            {"name": "thread_name", "ph": "M", "pid": 1, "tid": row, "args": {"name": name}}
            for row, name in rows.items()
        ),
    ]
    for span in generation.spans:
        row = _STEPS if span.name.startswith("step ") else _STAGES
        events.append(event(span.name, row, span.start_ns, span.stop_ns - span.start_ns))
    for node in generation.nodes:
        place = {"graph": node.graph, "node": node.name, "provider": node.provider}
        events.append(event(node.op_type, _NODES, node.start_ns, node.ns, **place))
    return events


def write_trace(path: Path, generation: Generation, process: str) -> None:
    """Raises InputError if the file cannot be written."""
    document = {"displayTimeUnit": "ms", "traceEvents": trace_events(generation, process)}
    with written(path) as partial:
        partial.write_text(json.dumps(document) + "\n", encoding="utf-8")


def check_plot(path: Path) -> None:
    """Says now, before any work, whether a chart can be made.

    Raises:
        InputError: for an unknown suffix, or without matplotlib.
    """
    check_suffix(path, "a chart", SUFFIXES)
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise InputError("--plot needs matplotlib; pip install matplotlib") from error


def write_plot(
    path: Path,
    profiles: Sequence[Profile],
    sweeps: Sequence[Sequence[Point]],
    kind: str,
    title: str,
) -> None:
    """Bars of the stages, and beside them the sweeps, if there are any.

    Raises:
        InputError: if the file cannot be written.
    """
    from matplotlib.figure import Figure  # without pyplot there is no window to open

    figure = Figure(figsize=(12 if sweeps else 7, 4.5), layout="constrained")
    figure.suptitle(title, fontsize="medium")
    axes = figure.subplots(1, 2 if sweeps else 1, squeeze=False)[0]
    _draw_stages(axes[0], profiles)
    for profile, points in zip(profiles, sweeps, strict=False):
        _draw_sweep(axes[1], points, profile.subject.label, kind)
    with written(path) as partial:
        figure.savefig(partial, dpi=150)


def _draw_stages(axes: Any, profiles: Sequence[Profile]) -> None:
    height = 0.8 / len(profiles)
    for i, profile in enumerate(profiles):
        names = [name for name in profile.stages if name != TOTAL and not name.startswith("step ")]
        places = [row + i * height for row in range(len(names))]
        times = [profile.stages[name] for name in names]
        whiskers = [[t.p50 - t.min for t in times], [t.p95 - t.p50 for t in times]]
        bars = axes.barh(
            places,
            [t.p50 for t in times],
            height=height,
            xerr=whiskers,
            label=f"{profile.subject.label}, {profile.stages[TOTAL].p50:.0f} ms",
        )
        axes.bar_label(bars, fmt="%.1f", padding=6)
        if i == 0:
            axes.set_yticks([row + 0.4 - height / 2 for row in range(len(names))], names)
    axes.invert_yaxis()
    axes.margins(x=0.15)  # the numbers stand beside the bars, within the frame
    axes.set_xlabel("ms (median; whiskers from the least to the 95th percentile)")
    axes.legend()


def _draw_sweep(axes: Any, points: Sequence[Point], label: str, kind: str) -> None:
    values = [p.value for p in points]
    (line,) = axes.plot(values, [p.ms.p50 for p in points], "o-", label=label)
    axes.plot(
        values,
        [p.predicted_ms for p in points],
        "x--",
        color=line.get_color(),
        label=f"{label}, by its FLOP",
    )
    axes.set_xlabel(kind)
    axes.set_ylabel("decoding loop, ms")
    axes.legend()
