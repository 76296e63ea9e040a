"""The command line: arguments in, one call, text out."""

import json
import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from echoes_rt.errors import EchoesError

if TYPE_CHECKING:
    from echoes_rt.decode.stepwise import OnStep
    from echoes_rt.pipeline import Sound
    from echoes_rt.spec.manifest import Manifest

Command = TypeVar("Command", bound=Callable[..., Any])


class _Group(click.Group):
    """Turns an EchoesError into one line on stderr and exit status 1, without a traceback."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except EchoesError as error:
            raise click.ClickException(" ".join(str(error).split())) from error


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="echoes-rt", prog_name="echoes-rt")
def main() -> None:
    """One picture in, its sound out."""


json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


def _device_options(command: Command) -> Command:
    for option in (
        click.option(
            "--threads", type=int, metavar="N", help="CPU threads. [default: as many as cores]"
        ),
        click.option(
            "--device",
            default="auto",
            show_default=True,
            metavar="NAME",
            help="auto, cpu, cuda or cuda:N.",
        ),
        click.option(
            "--bundle",
            metavar="PATH",
            help="A bundle's folder, zip or name. [default: ECHOES_RT_BUNDLE or echoes-mini]",
        ),
    ):
        command = option(command)
    return command


@main.command()
@click.argument("image", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--seed", type=int, metavar="N", help="0 to 2^64 - 1. [default: drawn and reported]")
@click.option("--steps", type=int, metavar="N", help="Decoding passes. [default: the bundle's]")
@click.option(
    "--guidance-scale",
    type=float,
    metavar="X",
    help="How much the picture counts; 1 is off and twice as fast. [default: the bundle's]",
)
@click.option(
    "--temperature",
    type=float,
    metavar="X",
    help="How boldly codes are drawn; 0 is not at all. [default: the bundle's]",
)
@click.option(
    "--choice-temperature",
    type=float,
    metavar="X",
    help="Chance in the order of decoding. [default: the bundle's]",
)
@_device_options
@json_option
@click.option("-q", "--quiet", is_flag=True, help="No progress, no result, only errors.")
@click.option("-v", "--verbose", is_flag=True, help="Say what is being done, on stderr.")
def generate(
    image: Path,
    out: Path,
    bundle: str | None,
    device: str,
    threads: int | None,
    as_json: bool,
    quiet: bool,
    verbose: bool,
    **options: Any,
) -> None:
    """Make the sound of the picture IMAGE and write it to OUT.

    IMAGE is a JPEG, PNG, WebP or BMP file; OUT ends in .wav, .flac or .ogg.

    Example: echoes-rt generate dog.jpg dog.wav --seed 7
    """
    from echoes_rt.audio import check_writable
    from echoes_rt.pipeline import Echoes

    if verbose:
        logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(name)s: %(message)s")
    start = time.perf_counter()
    check_writable(out)
    echoes = Echoes.load(bundle, device=device, threads=threads)
    with _progress(is_shown=sys.stderr.isatty() and not quiet) as on_step:
        sound = echoes.generate(image, on_step=on_step, **options)
    sound.save(out)
    took_s = time.perf_counter() - start
    if as_json:
        click.echo(json.dumps(_sound_report(out, sound, echoes.choice.reason, took_s), indent=2))
    elif not quiet:
        click.echo(_sound_text(out, sound, echoes.choice.reason, took_s))


@main.command()
@click.argument("bundle", required=False, metavar="[BUNDLE]")
@json_option
def info(bundle: str | None, as_json: bool) -> None:
    """Show what is in a bundle, after verifying its files.

    BUNDLE is a folder, a zip or a name; without it the default bundle is shown.

    Example: echoes-rt info
    """
    from echoes_rt.bundle import find_bundle

    opened = find_bundle(bundle)
    if as_json:
        report = {"path": str(opened.source), "manifest": opened.manifest.to_dict()}
        click.echo(json.dumps(report, indent=2))
    else:
        click.echo(f"{opened.source}\n{_manifest_text(opened.manifest)}")


@main.command()
@json_option
def doctor(as_json: bool) -> None:
    """Show what this machine has, and which device is chosen and why.

    Exit status 1 if no sound can be made here.

    Example: echoes-rt doctor
    """
    from echoes_rt.doctor import examine

    report = examine()
    click.echo(json.dumps(report, indent=2) if as_json else _doctor_text(report))
    if report["problems"]:
        raise click.exceptions.Exit(1)


@contextmanager
def _progress(is_shown: bool) -> "Iterator[OnStep | None]":
    """A bar on stderr, made when the first step tells how many there are."""
    if not is_shown:
        yield None
        return
    bar: Any = None

    def on_step(step: int, steps: int) -> None:
        nonlocal bar
        if bar is None:
            bar = click.progressbar(length=steps, label="decoding", file=sys.stderr)
        bar.update(1)

    try:
        yield on_step
    finally:
        if bar is not None:
            bar.render_finish()


def _sound_report(out: Path, sound: "Sound", reason: str, took_s: float) -> dict[str, object]:
    return {
        "file": str(out),
        "duration_s": round(sound.duration_s, 3),
        "sample_rate": sound.sample_rate,
        "bundle": sound.bundle,
        "device": sound.device,
        "device_reason": reason,
        "seed": sound.seed,
        "steps": sound.sampling.steps,
        "guidance_scale": sound.sampling.guidance_scale,
        "temperature": sound.sampling.temperature,
        "choice_temperature": sound.sampling.choice_temperature,
        "took_ms": round(took_s * 1000, 1),
        "stages_ms": {name: round(ms, 1) for name, ms in sound.timings_ms.items()},
    }


def _sound_text(out: Path, sound: "Sound", reason: str, took_s: float) -> str:
    sampling = sound.sampling
    stages = ", ".join(
        f"{name.replace('_', ' ')} {ms / 1000:.2f}" for name, ms in sound.timings_ms.items()
    )
    return "\n".join(
        [
            f"{out}: {sound.duration_s:.2f} s of sound",
            f"bundle    {sound.bundle}",
            f"device    {sound.device} ({reason})",
            f"seed      {sound.seed}",
            f"sampling  {sampling.steps} steps, guidance scale {sampling.guidance_scale:g}, "
            f"temperature {sampling.temperature:g}, "
            f"choice temperature {sampling.choice_temperature:g}",
            f"took      {took_s:.2f} s ({stages})",
        ]
    )


def _manifest_text(manifest: "Manifest") -> str:
    image, mel, tokens, sampling = (
        manifest.image,
        manifest.mel,
        manifest.tokens,
        manifest.sampling,
    )
    size = sum(part.size_bytes for part in manifest.files.values())
    lines = [
        f"name      {manifest.name}",
        f"license   {manifest.license}",
        f"made by   {manifest.created_by}",
        f"about     {manifest.description or '-'}",
        f"knows     {', '.join(manifest.labels) or '-'}",
        f"picture   {image.height} x {image.width}, {tokens.image.height} x {tokens.image.width} "
        f"codes of {tokens.image.codebook_size}",
        f"sound     {mel.duration_s:.2f} s at {mel.sample_rate} Hz, {tokens.audio.height} x "
        f"{tokens.audio.width} codes of {tokens.audio.codebook_size}",
        f"sampling  {sampling.steps} steps, guidance scale {sampling.guidance_scale:g}, "
        f"temperature {sampling.temperature:g}, "
        f"choice temperature {sampling.choice_temperature:g}",
        f"size      {size / 1e6:.2f} MB",
    ]
    lines += [
        f"graph     {name}: {entry.file}, {entry.precision}, "
        f"{sum(part.size_bytes for part in entry.files) / 1e6:.2f} MB"
        for name, entry in manifest.graphs.items()
    ]
    return "\n".join(lines)


def _doctor_text(report: dict[str, Any]) -> str:
    lines = [f"{key:<10}{report[key]}" for key in ("echoes_rt", "python", "os", "cpu")]
    lines += [f"{name}  {version or 'missing'}" for name, version in report["packages"].items()]
    runtime = report["onnxruntime"]
    lines.append(f"onnxruntime  {runtime['version'] or 'missing'}")
    lines += [f"  {name}: {state}" for name, state in runtime.get("providers", {}).items()]
    if runtime["version"]:
        lines.append(f"device    {runtime['device']} ({runtime['reason']})")
    bundle = report["bundle"]
    if bundle["name"]:
        lines.append(f"bundle    {bundle['name']} at {bundle['path']} ({bundle['origin']})")
    lines += [f"problem   {problem}" for problem in report["problems"]]
    lines.append("not ready" if report["problems"] else "ready")
    return "\n".join(lines)
