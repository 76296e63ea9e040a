"""``echoes-export engine``."""

import hashlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from echoes_rt.format.engine_file import ENGINES_FOLDER, FLAVOURS, PRECISIONS

if TYPE_CHECKING:
    from echoes_export.tensorrt.build import Built, Plan
    from echoes_export.tensorrt.qdq_graph import Scales
    from echoes_rt.bundle import Bundle
    from echoes_rt.comparison import Array

_SEEN = click.Path(path_type=Path, exists=True, dir_okay=False)

GRAPHS = (
    *("image_encoder", "context_image", "decode_audio", "mel_decoder", "vocoder"),
    *("mel_encoder", "context_audio", "decode_image", "image_decoder"),
)

COMPARED = (
    *("image_encoder", "context_image", "decode_audio_step", "logits_audio", "mel_decoder"),
    "vocoder",
)


def _architectures(
    context: click.Context, parameter: click.Parameter, value: str
) -> tuple[int, ...]:
    try:
        return tuple(dict.fromkeys(int(part) for part in value.split(",") if value))
    except ValueError as error:
        raise click.BadParameter(
            f"must be architectures such as 75,86,89, got {value!r}"
        ) from error


@click.command()
@click.argument("bundle_path", metavar="BUNDLE", type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help=f"Folder for the engines. [default: BUNDLE/{ENGINES_FOLDER}, where the runtime looks]",
)
@click.option(
    "--graph",
    "graphs",
    type=click.Choice(GRAPHS),
    multiple=True,
    default=GRAPHS[:5],
    show_default=True,
    help="May be repeated.",
)
@click.option(
    "--precision",
    type=click.Choice(PRECISIONS),
    default="fp16",
    show_default=True,
    help="int8 needs --picture or --index.",
)
@click.option(
    "--backend",
    type=click.Choice(FLAVOURS),
    default="rtx",
    show_default=True,
    help="rtx builds on any machine for GPUs of PCs; tensorrt builds for the machine itself, a "
    "Jetson too.",
)
@click.option(
    "--sm",
    "sms",
    metavar="LIST",
    default="",
    callback=_architectures,
    help="Compute capabilities times ten, e.g. 75,80,86,89,120. [default: this machine's GPU]",
)
@click.option(
    "--max-batch",
    type=click.IntRange(1, 64),
    default=4,
    show_default=True,
    help="Results of one call.",
)
@click.option(
    "--max-steps",
    type=click.IntRange(1, 1024),
    default=64,
    show_default=True,
    help="Decoding passes.",
)
@click.option(
    "--picture",
    "files",
    type=_SEEN,
    multiple=True,
    help="To measure int8 scales on, and without --index to compare on; may be repeated.",
)
@click.option(
    "--index",
    type=_SEEN,
    help="The index.jsonl written by echoes-train prepare: scales are measured on its training "
    "pictures where no --picture is given, and its held-out ones are compared.",
)
@click.option(
    "--pictures",
    type=click.IntRange(1, 10_000),
    default=16,
    show_default=True,
    help="How many of --index, of either kind.",
)
@click.option(
    "--compare",
    is_flag=True,
    help="Run the graphs on the CPU, too, and print what the precision changes.",
)
def engine(
    bundle_path: Path,
    out: Path | None,
    graphs: tuple[str, ...],
    precision: str,
    backend: str,
    sms: tuple[int, ...],
    max_batch: int,
    max_steps: int,
    files: tuple[Path, ...],
    index: Path | None,
    pictures: int,
    compare: bool,
) -> None:
    """Build TensorRT engines of BUNDLE; those that fit already stay.

    Prints one line for each. An engine is built again if the bundle, TensorRT, the
    architecture, the precision, the sizes, the driver or Jetson Linux is another one.

    Example: echoes-export engine my-bundle --sm 75,86,89,120
    """
    from echoes_export.precision.quantize_command import pictures_of
    from echoes_export.tensorrt.build import Plan, build_engines, free_ranges, make_targets
    from echoes_rt.bundle import Bundle
    from echoes_rt.comparison import noise_pictures
    from echoes_rt.errors import InputError
    from echoes_rt.io.image import read_image

    bundle = Bundle.open(bundle_path)
    if out is None and bundle.folder != bundle.source:
        raise InputError(f"{bundle_path} is a zip; unpack it, or give a folder by --out")
    targets = make_targets(backend, sms)
    scales = calibration = None
    given = [read_image(path) for path in files]
    if precision == "int8":
        measured = given or pictures_of(index, "train", pictures)
        if not measured:
            raise InputError("int8 needs pictures to measure on; give --picture or --index")
        scales, calibration = _measure(bundle, measured)
    plan = Plan(
        graphs=graphs,
        precision=precision,
        ranges=free_ranges(bundle, max_batch, max_steps),
        scales=scales,
        calibration_sha256=calibration,
    )
    if compare:
        if scales is not None and index is None:
            click.echo("compared on the pictures that its scales were measured on", err=True)
        compared = pictures_of(index, "heldout", pictures) or given
        compared = compared or noise_pictures(bundle.manifest.image, pictures)
        _compare(bundle, plan, compared)
    folder = out or bundle.folder / ENGINES_FOLDER
    for built in build_engines(
        bundle, folder, plan, targets, lambda line: click.echo(line, err=True)
    ):
        click.echo(_line(built))


def _line(built: "Built") -> str:
    size = built.path.stat().st_size / 1e6
    how = "there already"
    if built.cpu_s is not None:
        how = f"built in {built.record.build_s:.1f} s ({built.cpu_s:.1f} s of CPU time)"
    return f"{built.path}: {size:.1f} MB, {how}"


def _measure(bundle: "Bundle", pictures: "list[Array]") -> "tuple[Scales, str]":
    from echoes_export.tensorrt.scales import measure_scales

    digest = hashlib.sha256()
    for picture in pictures:
        digest.update(repr(picture.shape).encode() + picture.tobytes())
    with tempfile.TemporaryDirectory(prefix="echoes-rt-") as work:
        return measure_scales(bundle, pictures, Path(work)), digest.hexdigest()


def _compare(bundle: "Bundle", plan: "Plan", pictures: "list[Array]") -> None:
    from echoes_export.tensorrt.bundle import write_engine_bundle
    from echoes_rt.comparison import compare_bundles, table

    with tempfile.TemporaryDirectory(prefix="echoes-rt-") as work:
        folder = Path(work)
        after = write_engine_bundle(
            bundle, folder, COMPARED, plan.precision, plan.scales, is_emulated=True
        )
        click.echo(table(compare_bundles(bundle, after, pictures)))
