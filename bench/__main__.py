"""``python -m bench``: measures, then writes JSON, a page and its chart."""

import json
import os
import platform
import re
import tempfile
from importlib import metadata
from pathlib import Path

import click
import cv2
import numpy as np
import torch

from bench.contenders import contenders
from bench.measure import measure
from bench.models import Subject, make_subject
from bench.page import write_page
from echoes_rt.cpu_limit import usable_cpus
from echoes_rt.doctor import cpu_name
from echoes_rt.format.sampling import Sampling
from echoes_rt.model import Model
from echoes_rt.profile.files import write_plot
from echoes_rt.profile.gemm_peak import gemm_peak
from echoes_rt.profile.report import Subject as Profiled
from echoes_rt.profile.report import make_profiles
from echoes_rt.profile.stages import Question
from echoes_rt.profile.sweep import KINDS, sweep
from echoes_rt.profile.table import profile_text, sweep_text

QUIET_LOAD = 0.3
"""Processes that may wait or run before the start, on average over the last minute."""

FEW_RUNS = 3
"""Of the profile of a size that is not swept, whose contenders have all runs."""

_PACKAGES = re.compile("cuda|nncf|numpy|nvidia|onnx|openvino|tensorrt|torch|triton", re.IGNORECASE)
_FLAGS = (
    "avx2",
    "avx512f",
    "avx512_vnni",
    "avx_vnni",
    "avx512_bf16",
    "amx_int8",
    "asimddp",
    "i8mm",
)
"""Of /proc/cpuinfo: those that decide which kernels run."""


def machine() -> dict[str, object]:
    found = {d.name: d.version for d in metadata.distributions() if _PACKAGES.match(d.name or "")}
    return {
        "cpu": cpu_name(),
        "cores": os.cpu_count(),
        "flags": _flags(),
        "os": platform.platform(),
        "python": platform.python_version(),
        "packages": dict(sorted(found.items())),
    }


def _flags() -> list[str]:
    try:
        words = set(Path("/proc/cpuinfo").read_text(encoding="utf-8").split())
    except OSError:
        return []
    return [flag for flag in _FLAGS if flag in words]


def _say(what: str) -> None:
    click.echo(f"bench: {what}", err=True)


@click.command()
@click.option("--sizes", default="mini,base", show_default=True, help="Presets, by commas.")
@click.option("--sweeps", default="mini", show_default=True, help="Sizes whose cost is swept.")
@click.option("--runs", type=click.IntRange(1), default=7, show_default=True)
@click.option(
    "--steps", type=click.IntRange(1), default=16, show_default=True, help="Of the guided teacher."
)
@click.option(
    "--student-steps", type=click.IntRange(1), default=8, show_default=True, help="Of ours."
)
@click.option("--threads", type=click.IntRange(1), help="[default: as many as cores]")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("bench-report"),
    show_default=True,
    help="Folder for performance.json, performance.md and performance.png.",
)
@click.option(
    "--busy", is_flag=True, help="Measure although the machine is busy; the page says so."
)
def main(
    sizes: str,
    sweeps: str,
    runs: int,
    steps: int,
    student_steps: int,
    threads: int | None,
    out: Path,
    busy: bool,
) -> None:
    """Compare echoes-rt with other engines on this machine."""
    load = os.getloadavg()[0]
    if load > QUIET_LOAD and not busy:
        raise click.ClickException(
            f"the machine is busy (load {load:.1f}): figures would mean nothing; wait until it is "
            "idle, or pass --busy to try the program"
        )
    out.mkdir(parents=True, exist_ok=True)
    n_threads = threads or usable_cpus()
    torch.set_num_threads(n_threads)
    peak = gemm_peak(n_threads).gflops
    document: dict[str, object] = {
        "machine": machine(),
        "load": round(load, 2),
        "is_busy": load > QUIET_LOAD,
        "threads": n_threads,
        "runs": runs,
        "gemm_peak_gflops": round(peak, 1),
    }
    sampling = Sampling(steps=steps)
    student = Sampling(steps=student_steps, guidance_scale=1, guidance="folded")
    with tempfile.TemporaryDirectory() as work:
        document["sizes"] = [
            _measured(
                size,
                Path(work),
                out,
                sampling,
                student,
                runs,
                n_threads,
                peak,
                is_swept=size in sweeps.split(","),
            )
            for size in sizes.split(",")
        ]
    write_page(out, document)
    click.echo(json.dumps(document))


def _measured(
    size: str,
    work: Path,
    out: Path,
    sampling: Sampling,
    student: Sampling,
    runs: int,
    threads: int,
    peak: float,
    *,
    is_swept: bool,
) -> dict[str, object]:
    _say(f"exporting {size}")
    subject = make_subject(size, work, sampling, student)
    results = measure(contenders(subject, threads), runs, _say)
    profiled = _profiled(subject, work, threads)
    # A swept size is small, and its stages are worth as many runs.
    n_profiled = runs if is_swept else min(runs, FEW_RUNS)
    profiles = make_profiles(profiled, n_profiled, _say)
    points = {kind: sweep(profiled[0], kind, runs, _say) for kind in KINDS} if is_swept else {}
    for kind, found in points.items():
        write_plot(out / f"cost-{size}-{kind}.png", profiles, [found], kind, size)
    return {
        "size": size,
        "steps": subject.sampling.steps,
        "guidance_scale": subject.sampling.guidance_scale,
        "student_steps": subject.student.steps,
        "tokens": subject.models.layout.n_tokens,
        "sound_s": subject.duration_s,
        "results": [result.to_dict() for result in results],
        "profiles": [profile.to_dict(peak) for profile in profiles],
        "sweeps": {kind: [point.to_dict() for point in found] for kind, found in points.items()},
        "texts": [
            *(profile_text(profile, peak, n_profiled) for profile in profiles),
            *(sweep_text(found, kind) for kind, found in points.items()),
        ],
    }


def _profiled(subject: Subject, work: Path, threads: int) -> list[Profiled]:
    spec = subject.models.image
    picture = work / f"{subject.size}.png"
    noise = np.random.default_rng(0).integers(0, 256, (spec.height, spec.width, 3), dtype=np.uint8)
    cv2.imwrite(str(picture), noise)
    return [
        Profiled(
            label=f"{subject.bundle.manifest.name}, {precision}",
            model=Model.load(subject.bundle, "cpu", threads, precision),
            question=Question(
                picture=picture, out=work / f"{subject.size}.wav", sampling=subject.student
            ),
            threads=threads,
        )
        for precision in ("fp32", "int8")
    ]


if __name__ == "__main__":
    main()
