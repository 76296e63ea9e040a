"""Bars of all contenders, and curves of what the loop costs."""

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from echoes_rt.io.output_file import replacing

_OURS, _OTHERS = "#1f77b4", "#b0b0b0"


def write_chart(path: Path, document: dict[str, Any]) -> None:
    """One row of bars for each contender that ran: the loop, dark, within the whole."""
    sizes = document["sizes"]
    figure = Figure(figsize=(9, 1 + 3.4 * len(sizes)), layout="constrained")
    machine = document["machine"]
    figure.suptitle(
        f"Picture to sound on {machine['cpu']}, {document['threads']} threads: less is better"
    )
    for axes, size in zip(figure.subplots(len(sizes), 1, squeeze=False)[:, 0], sizes, strict=True):
        ran = [result for result in size["results"] if not result["failure"]]
        names = [result["name"] for result in ran]
        colours = [_OURS if result["is_ours"] else _OTHERS for result in ran]
        bars = axes.barh(names, [r["total_ms"] for r in ran], color=colours, alpha=0.5)
        axes.barh(names, [r["loop_ms"] or 0 for r in ran], color=colours)
        axes.bar_label(bars, fmt="%.0f", padding=4)
        axes.invert_yaxis()
        axes.set_xlabel(f"ms for {size['sound_s']:.2f} s of sound; dark: the decoding loop")
        axes.set_title(
            f"{size['size']}: {size['tokens']} tokens, {size['steps']} guided steps, "
            f"ours {size['student_steps']}"
        )
        axes.margins(x=0.12)
    with replacing(path) as partial:
        figure.savefig(partial, dpi=110)


def write_cost_chart(path: Path, sweeps: dict[str, list[dict[str, Any]]]) -> None:
    """Measured and predicted time of the loop, one panel for each kind of sweep."""
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    panels = figure.subplots(1, len(sweeps), squeeze=False)[0]
    for axes, (kind, points) in zip(panels, sweeps.items(), strict=True):
        values = [point["value"] for point in points]
        axes.plot(values, [p["predicted_ms"] for p in points], color=_OTHERS, label="by its FLOP")
        measured = [p["ms"]["p50"] for p in points]
        axes.plot(values, measured, "o", color=_OURS, label="measured")
        axes.set_xlabel(kind)
        axes.set_ylabel("ms of the loop")
        axes.set_ylim(bottom=0)
        axes.legend()
    with replacing(path) as partial:
        figure.savefig(partial, dpi=110)
