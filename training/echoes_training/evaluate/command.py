"""The command `echoes-train evaluate`."""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from echoes_rt.errors import InputError
from echoes_rt.options import SamplingOptions
from echoes_rt.spec.sampling import GUIDANCE_SCHEDULES
from echoes_training.evaluate.parts import PARTS, SERIES

if TYPE_CHECKING:
    from echoes_training.evaluate.report import Evaluation

_OUT_FILE = click.Path(path_type=Path, dir_okay=False)


@click.command()
@click.option("--bundle", help="Folder, .zip or name of the bundle; by default the runtime's own.")
@click.option(
    "--index",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    required=True,
    help="The index.jsonl written by echoes-train prepare.",
)
@click.option(
    "--cache",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="Folder that keeps the trained classifier for the next time.",
)
@click.option("--out", type=_OUT_FILE, required=True, help="The report, a .json file.")
@click.option("--figure", type=_OUT_FILE, help="A .png; by default beside the report.")
@click.option("--sheet", type=_OUT_FILE, help="Also draw spectrograms side by side to this .png.")
@click.option(
    "--part",
    "parts",
    type=click.Choice(PARTS),
    multiple=True,
    help="Judge only this part besides the real sounds; may be repeated.",
)
@click.option("--pictures-per-label", type=click.IntRange(1), default=20, show_default=True)
@click.option("--seeds", type=click.IntRange(1), default=3, show_default=True, help="Per picture.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="The first.")
@click.option("--steps", type=int)
@click.option("--guidance-scale", type=float)
@click.option("--temperature", type=float)
@click.option("--choice-temperature", type=float)
@click.option("--guidance-schedule", type=click.Choice(GUIDANCE_SCHEDULES))
@click.option("--guidance-interval", type=(float, float), metavar="START STOP")
@click.option("--batch-size", type=click.IntRange(1), default=8, show_default=True)
@click.option("--device", default="auto", show_default=True)
@click.option("--threads", type=click.IntRange(1, 1024))
def evaluate(out: Path, figure: Path | None, sheet: Path | None, **options: Any) -> None:
    """Judge a bundle on held-out pictures and sounds, with a classifier trained on the others.

    Example: echoes-train evaluate --bundle echoes-mini --index data/index.jsonl --cache cache
    --out report.json --sheet sheet.png
    """
    figure = figure or out.with_suffix(".png")
    for target in (out, figure, sheet):
        if target is not None:
            _check_writable(target)
    evaluation = _prepare(**options)
    from echoes_training.evaluate.figures import draw_report, draw_sheet
    from echoes_training.evaluate.report import evaluate as run

    report: dict[str, Any] = run(evaluation)
    _write_json(out, report)
    draw_report(report, figure)
    if sheet is not None:
        draw_sheet(evaluation, sheet)
    for line in table(report):
        click.echo(line)
    click.echo(" ".join(str(path) for path in (out, figure, sheet) if path))


def _prepare(
    *,
    bundle: str | None,
    index: Path,
    cache: Path,
    parts: tuple[str, ...],
    pictures_per_label: int,
    seeds: int,
    seed: int,
    batch_size: int,
    device: str,
    threads: int | None,
    **sampling: Any,
) -> "Evaluation":
    from echoes_rt import Echoes
    from echoes_training.data.index import read_index
    from echoes_training.evaluate.report import EvaluateConfig, Evaluation

    echoes = Echoes.load(bundle, device, threads)
    dials = cast(SamplingOptions, sampling)
    return Evaluation(
        echoes,
        read_index(index),
        cache,
        echoes.sampling(echoes.bundle.manifest.tokens.audio.n_tokens, dials),
        EvaluateConfig(
            parts=parts or PARTS,
            pictures_per_label=pictures_per_label,
            n_seeds=seeds,
            seed=seed,
            batch_size=batch_size,
            threads=threads,
        ),
    )


def table(report: dict[str, Any]) -> list[str]:
    """The numbers that people look at first."""
    names = [name for name in SERIES if name in report]
    lines = [f"{'recognised':<18}" + "".join(f"{name:>11}" for name in names)]
    for label in report["labels"]:
        lines.append(f"{label:<18}" + "".join(_cell(report[n]["per_label"], label) for n in names))
    for key in ("balanced", "overall"):
        lines.append(f"{key:<18}" + "".join(_cell(report[name], key) for name in names))
    lines.append(f"{'n':<18}" + "".join(f"{report[name]['n']:>11}" for name in names))
    distances = {k: v for k, v in report["frechet"].items() if isinstance(v, dict)}
    lines.append(
        "Frechet distance   "
        + ", ".join(
            f"{k} {v['plain']:.2f} (balanced {v['balanced']:.2f})" for k, v in distances.items()
        )
    )
    for name, use in report.get("codebooks", {}).items():
        lines.append(
            f"{name} codebook: {use['used']} of {use['codebook_size']} used, "
            f"perplexity {use['perplexity']:.1f}"
        )
    if "loudness" in report:
        lines.append(_loudness_line(report["loudness"]))
    return lines


def _cell(values: dict[str, float], key: str) -> str:
    return f"{values[key]:>11.3f}" if key in values else f"{'-':>11}"


def _loudness_line(loudness: dict[str, Any]) -> str:
    ranges = [
        f"{name} {loudness[name]['rms_dbfs']['min']:.1f} to {loudness[name]['rms_dbfs']['max']:.1f}"
        for name in ("real", "generated")
    ]
    faults = ", ".join(
        f"{loudness[key]} {key.replace('_', ' ')}"
        for key in ("silent", "too_loud", "clipped", "nan")
    )
    return f"RMS in dBFS: {', '.join(ranges)}; of {loudness['n_generated']} generated: {faults}"


def _check_writable(path: Path) -> None:
    """Says before any work whether the result could not be written.

    Raises:
        InputError: if there is no such folder, or it is closed to us.
    """
    if not path.parent.is_dir():
        raise InputError(f"cannot write {path}: there is no folder {path.parent}; make it first")
    if not os.access(path.parent, os.W_OK):
        raise InputError(f"cannot write {path}: no permission to write in {path.parent}")


def _write_json(path: Path, report: dict[str, Any]) -> None:
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        partial.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from error
    finally:
        partial.unlink(missing_ok=True)
