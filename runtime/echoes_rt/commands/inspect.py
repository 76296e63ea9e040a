"""What is in a bundle, and what this machine has."""

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import click

from echoes_rt.commands.terminal import say
from echoes_rt.commands.verb import json_option

if TYPE_CHECKING:
    from echoes_rt.format.manifest import Manifest


@click.command()
@click.argument("bundle", required=False, metavar="[BUNDLE]")
@json_option
def info(bundle: str | None, as_json: bool) -> None:
    """Show what is in a bundle, after verifying its files.

    BUNDLE is a folder, a zip or a name; without it the default bundle is shown.

    Example: echoes-rt info
    """
    from echoes_rt.bundle import CARD_NAME, find_bundle

    opened = find_bundle(bundle)
    if as_json:
        report = {"path": str(opened.source), "manifest": opened.manifest.to_dict()}
        say(json.dumps(report, indent=2))
    else:
        say(f"{opened.source}\n{_manifest_text(opened.manifest)}")
        if (card := opened.source / CARD_NAME).is_file():
            say(f"card      {card}: its sources, licences, figures")


@click.command()
@json_option
def doctor(as_json: bool) -> None:
    """Show what this machine has, and which device is chosen.

    It says why, too, and which precision auto takes.
    Exit status 1 if no sound can be made here.

    Example: echoes-rt doctor
    """
    from echoes_rt.doctor import examine

    report = examine()
    say(json.dumps(report, indent=2) if as_json else _doctor_text(report))
    if report["problems"]:
        raise click.exceptions.Exit(1)


def _manifest_text(manifest: "Manifest") -> str:
    image, mel, tokens, sampling = (
        manifest.image,
        manifest.mel,
        manifest.tokens,
        manifest.sampling,
    )
    size = sum(part.size_bytes for part in manifest.files.values())
    readers = Counter(part.file for entry in manifest.graphs.values() for part in entry.files)
    lines = [
        f"name      {manifest.name}",
        f"license   {manifest.license}",
        f"made by   {manifest.created_by}",
        f"about     {manifest.description or '-'}",
        f"knows     {manifest.knows or '-'}",
        f"picture   {image.height} x {image.width}, {tokens.image.height} x {tokens.image.width} "
        f"codes of {tokens.image.codebook_size}",
        f"sound     {mel.duration_s:.2f} s at {mel.sample_rate} Hz, {tokens.audio.height} x "
        f"{tokens.audio.width} codes of {tokens.audio.codebook_size}",
        f"sampling  {sampling}",
        f"size      {size / 1e6:.2f} MB",
    ]
    for name, part in manifest.files.items():
        if readers[name] > 1:
            lines.append(f"shared    {name}: {part.size_bytes / 1e6:.2f} MB")
    for name, entry in manifest.graphs.items():
        own = sum(part.size_bytes for part in entry.files if readers[part.file] == 1)
        lines.append(f"graph     {name}: {entry.file}, {entry.precision}, {own / 1e6:.2f} MB")
    return "\n".join(lines)


def _doctor_text(report: dict[str, Any]) -> str:
    lines = [f"{key:<10}{report[key]}" for key in ("echoes_rt", "python", "os", "cpu")]
    lines += [f"{name}  {version or 'missing'}" for name, version in report["packages"].items()]
    runtime = report["onnxruntime"]
    lines.append(f"onnxruntime  {runtime['version'] or 'missing'}")
    lines += [f"  {name}: {state}" for name, state in runtime.get("providers", {}).items()]
    lines += _nvidia_lines(report["nvidia"])
    if report["device"]:
        lines.append(f"device    {report['device']} ({report['reason']})")
    if report["auto_precision"]:
        taken = f"{report['auto_precision']} ({report['precision_reason']})"
        lines.append(f"precision auto: {taken}")
    bundle = report["bundle"]
    if bundle["name"]:
        lines.append(f"bundle    {bundle['name']} at {bundle['path']} ({bundle['origin']})")
        lines += [f"  engine {name}" for name in bundle["engines"]]
    lines += [f"advice    {advice}" for advice in report["nvidia"]["advice"]]
    lines += [f"problem   {problem}" for problem in report["problems"]]
    lines.append("not ready" if report["problems"] else "ready")
    return "\n".join(lines)


def _nvidia_lines(nvidia: dict[str, Any]) -> list[str]:
    lines = [f"nvidia    {nvidia['driver']}"]
    lines += [f"  GPU {index}: {text}" for index, text in enumerate(nvidia["gpus"])]
    facts = {
        "board": nvidia["board"],
        "Jetson Linux": nvidia["jetson_linux"],
        "JetPack": nvidia["jetpack"],
        "CUDA toolkit": nvidia["cuda"],
        "cuDNN": nvidia["cudnn"],
        **nvidia["tensorrt"],
        "kernels of ONNX Runtime": ", ".join(nvidia["onnxruntime_kernels"]),
        "power": nvidia["power_mode"],
        "clock": nvidia["clocks_mhz"] and "{:.0f} of {:.0f} MHz".format(*nvidia["clocks_mhz"]),
    }
    # Where there is no GPU, nobody waits for what is not installed.
    hidden = ("", None) if nvidia["gpus"] else ("", None, "not installed")
    return lines + [f"  {name}: {value}" for name, value in facts.items() if value not in hidden]
