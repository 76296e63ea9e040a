"""Profiles as text for people."""

from collections.abc import Sequence

from echoes_rt.nvidia.gpu_time import GpuTime
from echoes_rt.profile.report import Profile, amount
from echoes_rt.profile.stages import TOTAL
from echoes_rt.profile.sweep import Point, largest_error

Row = Sequence[str]

_SHOWN_OPERATORS = 4


def profile_text(profile: Profile, peak_gflops: float, runs: int) -> str:
    subject, cold = profile.subject, profile.cold
    choice = subject.model.choice
    precisions = {*profile.precisions.values()}
    memory = "not told by this system"
    if cold.peak_memory_mb is not None:
        loaded = "" if cold.memory_mb is None else f", {cold.memory_mb:.0f} MB after loading"
        memory = f"{cold.peak_memory_mb:.0f} MB at its peak{loaded}"
    lines = [
        f"{subject.label}: {', '.join(sorted(precisions))} on {choice.device} ({choice.reason}), "
        f"{amount(subject.question.sampling.steps, 'step')}, {amount(runs, 'run')}",
        "",
        aligned(_stage_rows(profile, peak_gflops)),
        "",
        f"real-time factor  {profile.real_time_factor:.3f} "
        f"({profile.stages[TOTAL].p50 / 1000:.3f} s for {profile.sound_s:.2f} s of sound)",
        f"cold start        {cold.total_ms:.0f} ms (python {cold.python_ms:.0f}, import "
        f"{cold.import_ms:.0f}, load {cold.load_ms:.0f}, first sound {cold.first_sound_ms:.0f})",
        f"memory            {memory}",
        *_throughput_lines(profile.throughput),
        *_gpu_lines(profile.gpu),
        *_coverage_lines(profile),
    ]
    return "\n".join(lines)


def sweep_text(points: Sequence[Point], kind: str) -> str:
    rows = [(kind, "p50 ms", "min ms", "GFLOP", "predicted ms", "error")]
    rows += [
        (
            f"{p.value}{' *' if p.is_reference else ''}",
            f"{p.ms.p50:.1f}",
            f"{p.ms.min:.1f}",
            f"{p.gflop:.2f}",
            f"{p.predicted_ms:.1f}",
            f"{p.error:+.1%}",
        )
        for p in points
    ]
    return "\n".join(
        [
            f"cost of the decoding loop against {kind}; * gives the rate of the predictions",
            "",
            aligned(rows),
            "",
            f"largest error {largest_error(points):.1%}",
        ]
    )


def comparison_text(first: Profile, second: Profile) -> str:
    """Medians side by side, and how many times faster the second is."""
    rows: list[Row] = [("stage", first.subject.label, second.subject.label, "faster")]
    for name, times in first.stages.items():
        if name in second.stages and not name.startswith("step "):
            other = second.stages[name]
            rows.append(
                (name, f"{times.p50:.2f}", f"{other.p50:.2f}", f"{times.p50 / other.p50:.2f}x")
            )
    return f"medians in ms, measured in turns\n\n{aligned(rows)}"


def aligned(rows: Sequence[Row]) -> str:
    """The first column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def _stage_rows(profile: Profile, peak_gflops: float) -> list[Row]:
    rows: list[Row] = [("stage", "p50 ms", "p95 ms", "min ms", "GFLOP", "GFLOP/s", "of peak")]
    for name, times in profile.stages.items():
        work: Row = ("", "", "")
        if profile.flop[name]:
            rate = profile.gflops(name)
            share = f"{rate / peak_gflops:.0%}" if profile.subject.is_on_cpu else "-"
            work = (f"{profile.flop[name] / 1e9:.2f}", f"{rate:.1f}", share)
        indent = "  " if name.startswith("step ") else ""
        figures = (f"{times.p50:.2f}", f"{times.p95:.2f}", f"{times.min:.2f}")
        rows.append((f"{indent}{name}", *figures, *work))
    return rows


def _throughput_lines(throughput: dict[int, float]) -> list[str]:
    rates = [f"{rate:.2f} in batches of {batch}" for batch, rate in throughput.items()]
    return [f"sounds a second   {', '.join(rates)}"] if rates else []


def _gpu_lines(gpu: GpuTime | None) -> list[str]:
    if gpu is None:
        return []
    clock = "" if gpu.clocks_mhz is None else ", {:.0f} of {:.0f} MHz".format(*gpu.clocks_mhz)
    mode = f", power {gpu.power_mode}" if gpu.power_mode else ""
    lines = [
        f"GPU               {gpu.name}: {gpu.memory_mb:.0f} MB{mode}{clock}",
        f"device time       {gpu.device_ms:.2f} of {gpu.total_ms:.2f} ms, "
        f"{gpu.gap_ms:.2f} ms without work",
    ]
    for name, times in gpu.graphs.items():
        lines.append(
            f"  {name}: {times.device_ms:.2f} ms on the device, {times.wall_ms:.2f} ms for the "
            f"host, {times.calls} calls, {times.launches} launches"
        )
    return lines


def _coverage_lines(profile: Profile) -> list[str]:
    lines = []
    for graph, work in profile.graphs.items():
        parts = ", ".join(
            f"{name.removesuffix('ExecutionProvider')} {p.nodes} nodes"
            + ("" if p.share is None else f" ({p.share:.0%} of the time)")
            for name, p in work.providers.items()
        )
        shares = list(work.time_by_operator.items())[:_SHOWN_OPERATORS]
        operators = ", ".join(f"{op_type} {share:.0%}" for op_type, share in shares)
        lines.append(f"graph             {graph}: {parts}{operators and '; '}{operators}")
    for graph, operators_on_cpu in profile.fallen_to_cpu.items():
        lines.append(f"warning           {graph} ran on the CPU: {', '.join(operators_on_cpu)}")
    for graph, why in profile.subject.model.unrecorded().items():
        lines.append(f"warning           {graph} is not recorded as a CUDA graph: {why}")
    return lines
