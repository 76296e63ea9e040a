"""Where the time and the memory of a generation go."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from echoes_rt.backends.device import KINDS
from echoes_rt.commands.terminal import say
from echoes_rt.commands.verb import FILE, Verb, verb_options

if TYPE_CHECKING:
    from echoes_rt.profile.gemm_peak import Peak
    from echoes_rt.profile.report import Profile, Subject
    from echoes_rt.profile.sweep import Point


@click.command()
@click.argument("bundle_path", required=False, metavar="[BUNDLE]")
@click.option(
    "--runs", type=click.IntRange(1, 10_000), default=7, show_default=True, help="Timed runs."
)
@click.option("--image", type=FILE, help="Picture to use. [default: a photograph of a dog]")
@click.option(
    "--compare", metavar="OTHER", help="A second bundle, a device or a precision: side by side."
)
@click.option(
    "--sweep",
    type=click.Choice(["steps", "tokens"]),
    help="Cost of the decoding loop against steps, or tokens at once, beside its FLOP.",
)
@click.option("--batch", is_flag=True, help="Sounds a second, also of 4 and 16 at once.")
@click.option("--trace", type=FILE, help="Write one generation for Perfetto or chrome://tracing.")
@click.option("--plot", type=FILE, help="Write a chart: .png, .svg or .pdf; needs matplotlib.")
@click.option("--csv", type=FILE, help="Write the stages' times as a table.")
@verb_options
def profile(
    verb: Verb,
    bundle_path: str | None,
    runs: int,
    image: Path | None,
    compare: str | None,
    sweep: str | None,
    batch: bool,
    trace: Path | None,
    plot: Path | None,
    csv: Path | None,
) -> None:
    """Measure where the time and memory of picture to sound go.

    BUNDLE is a folder, a zip or a name, the same as --bundle. With --json the last line is one
    document.

    \b
    Example: echoes-rt profile
             echoes-rt profile echoes-mini --compare cuda --runs 20
             echoes-rt profile my-bundle --compare int8
             echoes-rt profile --sweep steps --plot cost.png --trace trace.json
    """  # noqa: D301 - \b keeps click from joining the lines
    from echoes_rt.cpu_limit import usable_cpus
    from echoes_rt.io.leftovers import ScratchFolder
    from echoes_rt.io.output_file import check_place
    from echoes_rt.profile.files import check_plot, write_csv, write_plot, write_trace
    from echoes_rt.profile.gemm_peak import gemm_peak
    from echoes_rt.profile.report import amount, make_profiles
    from echoes_rt.profile.sweep import sweep as run_sweep
    from echoes_rt.profile.sweep import throughput

    if bundle_path is not None and verb.bundle is not None:
        raise click.UsageError("give the bundle once, as BUNDLE or with --bundle")
    for path in filter(None, (trace, plot, csv)):
        check_place(path)
    if plot is not None:
        check_plot(plot)

    def note(what: str) -> None:
        if not verb.quiet:
            say(f"profile: {what}", err=True)

    with ScratchFolder() as folder:
        subjects = _subjects(verb, bundle_path or verb.bundle, compare, image, folder)
        n_threads = verb.threads or usable_cpus()
        note(f"peak of matrix products with {amount(n_threads, 'thread')}")
        peak = gemm_peak(n_threads)
        if peak.is_busy:
            note(
                f"WARNING: this machine is busy, all times will be too long: "
                f"{amount(n_threads, 'thread')} got {peak.cpu_share:.0%} of the processor"
            )
        profiles = make_profiles(subjects, runs, note)
        if batch:
            note("batches")
            profiles = [replace(p, throughput=throughput(p.subject, runs)) for p in profiles]
        sweeps = [run_sweep(s, sweep, runs, note) for s in subjects] if sweep else []
    if trace is not None:
        first = profiles[0].subject
        write_trace(trace, profiles[0].watched, f"{first.label} on {first.model.choice.device}")
    if plot is not None:
        amounts = f"{amount(n_threads, 'thread')}, {amount(runs, 'run')}"
        title = f"{_machine()['cpu']}, {amounts}"
        write_plot(plot, profiles, sweeps, sweep or "", title)
    if csv is not None:
        write_csv(csv, profiles)
    found = _Found(profiles, sweeps, sweep, peak, n_threads, runs)
    if verb.as_json:
        say(json.dumps(found.to_dict()))
    elif not verb.quiet:
        say(found.to_text())


def _subjects(
    verb: Verb, bundle: str | None, other: str | None, image: Path | None, folder: Path
) -> list[Subject]:
    """What is asked of one, or of two with labels that tell them apart."""
    from echoes_rt.backends.precision import PRECISIONS
    from echoes_rt.io.image import read_image
    from echoes_rt.model import Model
    from echoes_rt.options import draw_seed
    from echoes_rt.profile.report import Subject
    from echoes_rt.profile.stages import PICTURE, Question

    asked = [(bundle, verb.device, verb.precision)]
    devices = ("auto", *KINDS)
    if other in PRECISIONS and other not in devices:
        asked.append((bundle, verb.device, other))
    elif other is not None:
        is_device = other.split(":")[0] in devices
        place = (bundle, other) if is_device else (other, verb.device)
        asked.append((*place, verb.precision))
    models = [Model.load(path, name, verb.threads, numbers) for path, name, numbers in asked]
    if image is not None:
        read_image(image)  # says now what is wrong with it
    seed = verb.options["seed"]
    dials: Any = {name: value for name, value in verb.options.items() if name != "seed"}
    subjects: list[Subject] = []
    for (path, _, _), model in zip(asked, models, strict=True):
        question = Question(
            out=folder / "out.wav",
            sampling=model.sampling(model.manifest.tokens.audio.n_tokens, dials),
            picture=image or PICTURE,
            seed=0 if seed is None else draw_seed(seed),
        )
        label = model.manifest.name
        if other is not None:
            label = f"{path or label} on {model.choice.device} in {model.choice.precision}"
        subjects.append(Subject(label=label, model=model, question=question, threads=verb.threads))
    return subjects


@dataclass(frozen=True)
class _Found:
    """All that was measured; sweeps are of ``kind``."""

    profiles: list[Profile]
    sweeps: list[list[Point]]
    kind: str | None
    peak: Peak
    threads: int
    runs: int

    def to_dict(self) -> dict[str, object]:
        from echoes_rt.profile.report import SCHEMA, UNITS

        sweeps = zip(self.profiles, self.sweeps, strict=False)
        return {
            "schema": SCHEMA,
            "units": UNITS,
            "machine": _machine(),
            "threads": self.threads,
            "runs": self.runs,
            "gemm_peak_gflops": round(self.peak.gflops, 1),
            "cpu_share": round(self.peak.cpu_share, 3),
            "is_busy": self.peak.is_busy,
            "profiles": [profile.to_dict(self.peak.gflops) for profile in self.profiles],
            "sweeps": [
                {"label": p.subject.label, "kind": self.kind, "points": [x.to_dict() for x in xs]}
                for p, xs in sweeps
            ],
        }

    def to_text(self) -> str:
        from echoes_rt.profile.report import amount
        from echoes_rt.profile.table import comparison_text, profile_text, sweep_text

        machine = _machine()
        parts = [
            f"{machine['cpu']}; {amount(self.threads, 'thread')}; float32 matrix product of numpy: "
            f"{self.peak.gflops:.0f} GFLOP/s\n"
            f"ONNX Runtime {machine['onnxruntime']}, {machine['os']}"
        ]
        parts += [profile_text(p, self.peak.gflops, self.runs) for p in self.profiles]
        if len(self.profiles) == 2:
            parts.append(comparison_text(*self.profiles))
        for profile, points in zip(self.profiles, self.sweeps, strict=False):
            parts.append(f"{profile.subject.label}: {sweep_text(points, str(self.kind))}")
        return "\n\n".join(parts)


def _machine() -> dict[str, object]:
    import platform

    from echoes_rt.backends.session_start import import_onnxruntime
    from echoes_rt.doctor import cpu_name

    return {
        "cpu": cpu_name(),
        "os": platform.platform(),
        "onnxruntime": import_onnxruntime().__version__,
    }
