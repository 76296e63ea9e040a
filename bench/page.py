"""performance.md, its JSON and its chart, from one document of figures."""

import json
from pathlib import Path
from typing import Any

from bench.chart import write_chart, write_cost_chart
from echoes_rt.io.output_file import replacing

Document = dict[str, Any]


def write_page(folder: Path, document: Document) -> None:
    """Writes performance.json, performance.md and its charts."""
    write_chart(folder / "performance.png", document)
    for size in document["sizes"]:
        if size["sweeps"]:
            write_cost_chart(folder / f"cost-{size['size']}.png", size["sweeps"])
    texts = {
        "performance.json": json.dumps(document, indent=1) + "\n",
        "performance.md": page(document),
    }
    for name, text in texts.items():
        with replacing(folder / name) as partial:
            partial.write_text(text, encoding="utf-8")


def page(document: Document) -> str:
    machine = document["machine"]
    packages = ", ".join(map(" ".join, machine["packages"].items()))
    parts = [
        "# Performance",
        "Written by `make bench`, which measures all engines in turns in one run, with the same "
        "random weights, threads and noise. Random weights cost what trained ones cost. Other "
        "engines run the plain guided loop of a teacher, we the steps of a student in which "
        "guidance is folded, that is as good by the figures of docs/results.md. The "
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
    for profile in size["profiles"]:
        parts.append(_profile(profile))
    if size["sweeps"]:
        parts.append(f"![Cost of the loop](cost-{size['size']}.png)")
    for kind, points in size["sweeps"].items():
        parts.append(_sweep(kind, points))
    return parts


def _results(size: Document) -> str:
    rows = ["| engine | loop, ms | whole, ms | real-time factor | equal tokens |"]
    rows.append("| --- | ---: | ---: | ---: | ---: |")
    for result in size["results"]:
        if result["failure"]:
            rows.append(f"| {result['name']} | does not run: {result['failure']} | | | |")
            continue
        loop = "-" if result["loop_ms"] is None else f"{result['loop_ms']:.0f}"
        factor = result["total_ms"] / 1000 / size["sound_s"]
        rows.append(
            f"| {result['name']} | {loop} | {result['total_ms']:.0f} | {factor:.3f} | "
            f"{result['equal_tokens']:.1%} |"
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


def _profile(profile: Document) -> str:
    cold = profile["cold_start"]
    memory = cold["peak_memory_mb"]
    rows = ["| stage | p50, ms | p95, ms | least, ms | GFLOP | GFLOP/s | of peak |"]
    rows.append("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for name, stage in profile["stages"].items():
        if name.startswith("step "):
            continue
        ms = stage["ms"]
        work = " | | |"
        if "gflop" in stage:
            share = stage["share_of_peak"]
            work = (
                f" {stage['gflop']:.2f} | {stage['gflops']:.0f} | "
                f"{'-' if share is None else f'{share:.0%}'} |"
            )
        rows.append(f"| {name} | {ms['p50']:.1f} | {ms['p95']:.1f} | {ms['min']:.1f} |{work}")
    loop = next((g for g in ("decode_audio_step", "decode_audio") if g in profile["graphs"]), None)
    shares = profile["graphs"][loop]["time_by_operator"] if loop else {}
    operators = ", ".join(f"{name} {share:.0%}" for name, share in list(shares.items())[:8])
    return "\n\n".join(
        [
            f"### {profile['label']} by `echoes-rt profile`",
            "\n".join(rows),
            f"Cold start: {cold['total_ms']:.0f} ms from the start of the process to the end of "
            f"the first sound (import {cold['import_ms']:.0f}, load {cold['load_ms']:.0f}, first "
            f"sound {cold['first_sound_ms']:.0f}). Memory at its peak: "
            f"{'not told by this system' if memory is None else f'{memory:.0f} MB'}.",
            f"Time in the loop's graph by operator: {operators}.",
        ]
    )


def _sweep(kind: str, points: list[Document]) -> str:
    rows = [f"| {kind} | p50, ms | GFLOP | predicted, ms | error |"]
    rows.append("| ---: | ---: | ---: | ---: | ---: |")
    for point in points:
        mark = " \\*" if point["is_reference"] else ""
        rows.append(
            f"| {point['value']}{mark} | {point['ms']['p50']:.1f} | {point['gflop']:.2f} | "
            f"{point['predicted_ms']:.1f} | {point['error']:+.1%} |"
        )
    worst = max(abs(point["error"]) for point in points)
    return "\n\n".join(
        [
            f"### Cost of the loop against {kind}",
            "\n".join(rows),
            f"The row with \\* gives the rate of the predictions, all else in them is counted "
            f"operations. The largest error is {worst:.1%}.",
        ]
    )
