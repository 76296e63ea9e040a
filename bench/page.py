"""performance.md, its JSON and its chart, from one document of figures."""

import json
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from echoes_rt.io.output_file import replacing

Document = dict[str, Any]

_OURS, _OTHERS = "#1f77b4", "#b0b0b0"


def write_page(folder: Path, document: Document) -> None:
    """Writes performance.json, performance.md and performance.png."""
    with replacing(folder / "performance.png") as partial:
        _chart(document).savefig(partial, dpi=110)
    texts = {
        "performance.json": json.dumps(document, indent=1) + "\n",
        "performance.md": page(document),
    }
    for name, text in texts.items():
        with replacing(folder / name) as partial:
            partial.write_text(text, encoding="utf-8")


def _chart(document: Document) -> Figure:
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
        axes.barh(names, [r["loop_ms"] for r in ran], color=colours)
        axes.bar_label(bars, fmt="%.0f", padding=4)
        axes.invert_yaxis()
        axes.set_xlabel(f"ms for {size['sound_s']:.2f} s of sound; dark: the decoding loop")
        axes.set_title(
            f"{size['size']}: {size['tokens']} tokens, {size['steps']} guided steps, "
            f"ours {size['student_steps']}"
        )
        axes.margins(x=0.12)
    return figure


def page(document: Document) -> str:
    machine = document["machine"]
    packages = ", ".join(map(" ".join, machine["packages"].items()))
    parts = [
        "# Performance",
        "Written by `make bench`, which measures all engines in turns in one run, with the same "
        "random weights, threads and noise. Random weights cost what trained ones cost. Other "
        "engines run the plain guided loop of a teacher, we the steps of a student in which "
        "guidance is folded; docs/results.md says how the two compare by the ear. The "
        "figures behind this page are in [performance.json](performance.json).",
    ]
    if document["is_busy"]:
        parts.append("**The machine was busy: these figures mean nothing.**")
    parts += [
        "| | |\n| --- | --- |\n"
        f"| processor | {machine['cpu']}, {document['threads']} threads, "
        f"{', '.join(machine['flags'])} |\n"
        f"| peak | {document['gemm_peak_gflops']:.0f} GFLOP/s, numpy's float32 product of "
        "1536 x 1536 matrices with as many threads |\n"
        f"| with | Python {machine['python']}, {packages}; {machine['os']} |\n"
        f"| runs | medians of {document['runs']}, load before the start {document['load']:.2f} |",
        "![Bars of the loop and the whole](performance.png)",
    ]
    for size in document["sizes"]:
        parts += _size(size)
    return "\n\n".join(parts) + "\n"


def _size(size: Document) -> list[str]:
    parts = [
        f"## {size['size']}",
        f"{size['tokens']} tokens, {size['steps']} steps of two branches (guidance scale "
        f"{size['guidance_scale']:g}) against {size['student_steps']} of one, "
        f"{size['sound_s']:.2f} s of sound. *Loop* is the decoding "
        "loop alone, *whole* goes from pixels to samples. bf16, int8 and compile are those of the "
        "transformer; what is around it runs in fp32 in the same engine. Tokens are compared "
        "with those of the first of the other engines, or of ours.",
        _results(size),
        *_ratios(size),
    ]
    for text in size["texts"]:
        parts.append(f"```text\n{text}\n```")
    for kind in size["sweeps"]:
        parts.append(f"![Stages, and cost of the loop](cost-{size['size']}-{kind}.png)")
    return parts


def _results(size: Document) -> str:
    rows = ["| engine | loop, ms | whole, ms | real-time factor | equal tokens |"]
    rows.append("| --- | ---: | ---: | ---: | ---: |")
    for result in size["results"]:
        if result["failure"]:
            rows.append(f"| {result['name']} | does not run: {result['failure']} | | | |")
            continue
        factor = result["total_ms"] / 1000 / size["sound_s"]
        rows.append(
            f"| {result['name']} | {result['loop_ms']:.0f} | {result['total_ms']:.0f} | "
            f"{factor:.3f} | {result['equal_tokens']:.1%} |"
        )
    return "\n".join(rows)


def _ratios(size: Document) -> list[str]:
    """Our fastest against what was to be beaten."""
    ran = [result for result in size["results"] if not result["failure"]]
    ours = [r for r in ran if r["is_ours"]]
    rivals = {
        "torch eager fp32": [r for r in ran if r["name"] == "torch eager fp32"],
        "ONNX Runtime's host loop in fp32": [
            r for r in ran if r["name"] == "ONNX Runtime, host loop fp32"
        ],
        "the best OpenVINO run of the plain loop": [
            r for r in ran if r["name"].startswith("OpenVINO") and not r["is_ours"]
        ],
    }
    if not ours:
        return []
    best = min(ours, key=lambda r: float(r["total_ms"]))
    lines = [f"The fastest of ours from pixels to samples is {best['name']}:"]
    for name, group in rivals.items():
        if group:
            rival = min(group, key=lambda r: float(r["total_ms"]))
            lines.append(f"- {rival['total_ms'] / best['total_ms']:.2f} times as fast as {name}")
    return [lines[0] + "\n\n" + "\n".join(lines[1:])]
